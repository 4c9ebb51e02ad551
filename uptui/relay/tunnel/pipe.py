"""Join two byte streams: back-pressure, half-close, counting, and nothing lost at the end.

A PipeEnd is the protocol of one end, be it a TCP socket, a WebSocket or an SSH channel: whatever
has the reading and writing half of asyncio.Transport. It knows no routes and no messages.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from uptui.relay.ingress.listeners import QuickAcks
from uptui.relay.tunnel.fair_share import FairShare
from uptui.relay.tunnel.kernel_splice import KernelSplice
from uptui.runtime.busy_poll import PACE

READ_SIZE: Final = 256 * 1024
"""Bytes read at once."""
SMALL_READ: Final = 4096
"""The same when the loop reads although the other end has just said that it takes no more."""
BULK: Final = 64 * 1024
"""Bytes of one read from which on the next is moved inside the kernel: for fewer the two calls
that this takes cost more than copying."""
_kernel: Final = KernelSplice()
_scratch: Final = memoryview(bytearray(READ_SIZE))
"""What a pipe end has read, within one callback of the loop."""


class PipeTransport(Protocol):
    """The part of asyncio.Transport that a splice needs."""

    def write(self, data: bytes, /) -> None: ...

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Flush what was written, then close."""
        ...

    def abort(self) -> None: ...


@dataclass
class Tally:
    """What went over one route by one way; bytes and connections since the relay started."""

    owner: str = ""
    """Whose usage it is."""
    received: int = 0
    """From clients."""
    sent: int = 0
    """To clients."""
    open: int = 0
    reported_received: int = 0
    reported_sent: int = 0


class WholeClose:
    """A transport without half-close (TLS): the end of what is written ends it altogether."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.write = transport.write
        self.write_eof = self.close = transport.close
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.abort = transport.abort


class PipeEnd(asyncio.BufferedProtocol, asyncio.Protocol):
    """One end of a pipe. Until it is joined, nothing is read from its wire.

    Sockets read into a buffer that all share; what else carries a pipe end gives it bytes.
    """

    __slots__ = (
        "_acks", "_bulk", "_choked", "_clear", "_half_closes", "_linger", "_resting", "_socket",
        "_timer", "eof", "fd", "lost", "most", "on_data", "on_lost", "peer", "wire",
    )  # fmt: skip

    def __init__(self, linger: float) -> None:
        self.peer: PipeEnd | None = None
        self.wire: PipeTransport | None = None
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        self.on_data: Callable[[int], None] | None = None
        self._linger = linger
        self.most = READ_SIZE
        """Bytes read at once, where working through them may take long."""
        self.eof = False
        self._acks: QuickAcks | None = None
        self._half_closes = True
        self._choked = True
        self._resting: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._socket: asyncio.Transport | None = None
        """The wire, if it is a bare socket."""
        self.fd = -1
        """Its descriptor."""
        self._bulk = False
        self._clear = False
        """Nothing waits to be written to the socket: what comes may be written past it."""

    def attach(self, wire: PipeTransport) -> None:
        """Use `wire`; reading waits for the join."""
        self.wire = wire
        wire.pause_reading()

    def choke(self, full: bool) -> None:
        """Read nothing because the other end takes no more, or go on."""
        self._choked = full
        self._flow()

    def rest(self, seconds: float) -> None:
        """Read nothing for so long."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(seconds, self._rested)
        self._flow()

    def _rested(self) -> None:
        self._resting = None
        self._flow()

    def _flow(self) -> None:
        if self.lost or self.wire is None:
            return
        if self._choked or self._resting is not None:
            self.wire.pause_reading()
        else:
            self.wire.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._acks = QuickAcks(transport)
        self._half_closes = transport.can_write_eof()
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("sslcontext") is None:
            self._socket, self.fd = transport, sock.fileno()
        self.attach(transport if self._half_closes else WholeClose(transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads next; in bulk most of that is moved on before.

        Raises OSError, which the loop takes as that of its own read.
        """
        del sizehint
        if self._bulk:
            self._move()
            if self._choked or self._resting is not None:
                return _scratch[:SMALL_READ]
        return _scratch[: self.most]

    def buffer_updated(self, nbytes: int) -> None:
        self._bulk = self._bulk or nbytes >= BULK
        self.data_received(_scratch[:nbytes])

    def _move(self) -> None:
        peer = self.peer
        if peer is None or self._socket is None or not peer.takes_now:
            return
        moved, rest = _kernel.move(self.fd, peer.fd)
        self._bulk = moved >= BULK
        if rest:
            peer.send(rest)
        if moved and self.on_data is not None:
            self.on_data(moved)

    def data_received(self, data: bytes | memoryview) -> None:
        """Pass bytes on, then count them: somebody waits. A view is valid in this call only."""
        if self.peer is not None:
            self.peer.send(data)
        if self._acks is not None and not self._acks.rearm():
            self._acks = None
        if self.on_data is not None:
            self.on_data(len(data))

    @property
    def takes_now(self) -> bool:
        """Whether the wire is a bare socket to which nothing waits to be written."""
        sock = self._socket
        if not self._clear and sock is not None and not self.lost:
            self._clear = not sock.is_closing() and not sock.get_write_buffer_size()
        return self._clear

    def send(self, data: bytes | memoryview) -> None:
        """Write bytes to the wire, without a copy if its socket takes them now."""
        if self.wire is None or self.lost:
            return
        done = 0
        if self._clear or self.takes_now:
            try:
                done = os.write(self.fd, data)
            except OSError:
                done = 0  # full, or broken: then its transport finds out, too
            if done == len(data):
                return
        self._clear = False
        self.wire.write(bytes(data[done:]))

    def eof_received(self) -> bool:
        self.eof = True
        peer = self.peer
        if peer is not None and peer.wire is not None and not peer.lost:
            if peer.eof:
                self.close()
                peer.close()
            else:
                peer.wire.write_eof()
        return self._half_closes

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.choke(True)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.choke(False)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost:
            return
        self.lost, self._clear = True, False
        for timer in (self._timer, self._resting):
            if timer is not None:
                timer.cancel()
        if self.peer is not None:
            self.peer.close()
        if self.on_lost is not None:
            self.on_lost()

    def close(self) -> None:
        """Deliver what was taken within the linger time, then close."""
        if self.lost or self.wire is None:
            return
        self._clear = False
        self.wire.close()
        if self._timer is None and not self.lost:
            self._timer = asyncio.get_running_loop().call_later(self._linger, self.abort)

    def abort(self) -> None:
        """Close at once, dropping what was not delivered."""
        if not self.lost and self.wire is not None:
            self._clear = False
            self.wire.abort()


@dataclass(eq=False)
class Pipe:
    """Something open between a client and a host."""

    owner: int
    """The host's control channel, by its id."""
    tally: Tally
    abort: Callable[[], None]
    on_end: Callable[[], None]


class Pipes:
    """Everything that is open between clients and hosts now."""

    def __init__(self) -> None:
        self._open: set[Pipe] = set()
        self._owners: Counter[int] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self.share: FairShare | None = None
        """Divides the relay's byte rate between what is open, if it has one."""

    def count(self, owner: int) -> int:
        """How much is open for one host."""
        return self._owners[owner]

    def received(self, pipe: Pipe, end: PipeEnd, size: int) -> None:
        """`end` has given `size` bytes from the client."""
        PACE.asked(size)
        pipe.tally.received += size
        self._shared(pipe, end, size)

    def sent(self, pipe: Pipe, end: PipeEnd, size: int) -> None:
        """`end` has given `size` bytes from the host."""
        PACE.answered(size)
        pipe.tally.sent += size
        self._shared(pipe, end, size)

    def _shared(self, pipe: Pipe, end: PipeEnd, size: int) -> None:
        """Let `end` rest when that was more than the pipe's part."""
        if self.share is not None:
            wait = self.share.wait_after(pipe, size, asyncio.get_running_loop().time())
            if wait > 0:
                end.rest(wait)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, pipe: Pipe) -> None:
        """Count `pipe` until `remove`."""
        self._open.add(pipe)
        self._owners[pipe.owner] += 1
        self._idle.clear()
        pipe.tally.open += 1

    def remove(self, pipe: Pipe) -> None:
        """It ended; the second time is harmless."""
        if pipe not in self._open:
            return
        self._open.discard(pipe)
        self._owners[pipe.owner] -= 1
        if not self._owners[pipe.owner]:
            del self._owners[pipe.owner]
        if self.share is not None:
            self.share.leave(pipe)
        pipe.tally.open -= 1
        pipe.on_end()
        if not self._open:
            self._idle.set()

    def join(self, client: PipeEnd, host: PipeEnd, pipe: Pipe, from_host: bytes = b"") -> None:
        """Let bytes flow both ways, `from_host` first, until both ends are closed."""
        client.peer, host.peer = host, client

        def ended() -> None:
            if client.lost and host.lost:
                self.remove(pipe)

        self.add(pipe)
        client.on_data = partial(self.received, pipe, client)
        host.on_data = partial(self.sent, pipe, host)
        client.on_lost = host.on_lost = ended
        if client.lost or host.lost:
            client.close()
            host.close()
            ended()
            return
        for end in (client, host):
            end.choke(False)
        if from_host:
            host.data_received(from_host)

    def abort(self, owner: int | None = None) -> None:
        """Cut off everything, or everything of one host."""
        for pipe in [pipe for pipe in self._open if owner in {None, pipe.owner}]:
            pipe.abort()

    async def drain(self, grace: float) -> None:
        """Give what is open `grace` seconds to end by itself, then cut it off."""
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            self.abort()
