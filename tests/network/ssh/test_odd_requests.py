"""Requests that no client in use sends: each is refused alone, whatever is in it."""

# pyright: reportPrivateUsage=false

import asyncio
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncssh
import pytest
from asyncssh.constants import (
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_CONFIRMATION,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_GLOBAL_REQUEST,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
)
from asyncssh.packet import Boolean, SSHPacket, String, UInt32

from tests.network.ssh.conftest import TIMEOUT, Served
from uptui.ssh.odd_requests import PROOFS

WINDOW = 2**20
MOST = 2**32 - 1
UNIX = b"direct-streamlocal@openssh.com"
SIZE = UInt32(80) + UInt32(24) + UInt32(0) + UInt32(0)
HUGE = UInt32(10**9) + UInt32(MOST) + UInt32(MOST) + UInt32(10**9)
OPENINGS = {
    "unknown": (b"no-such@example.org", b""),
    "ours, not theirs": (b"x11", String("host") + UInt32(1)),
    "a method's name": (b"channel", b""),
    "not ascii": (b"\xff\xfe", b""),
    "nul": (b"session\0", b""),
    "no name": (b"", b""),
    "long": (b"a" * 30_000, b""),
    "session with more": (b"session", b"more"),
    "tcp cut short": (b"direct-tcpip", String("localhost")),
    "tcp, bad utf-8": (b"direct-tcpip", String(b"\xff") + UInt32(1) + String("x") + UInt32(1)),
    "tcp, nul": (b"direct-tcpip", String(b"a\0b") + UInt32(1) + String("x") + UInt32(1)),
    "tcp, port": (b"direct-tcpip", String("localhost") + UInt32(MOST) + String("x") + UInt32(MOST)),
    "unix cut short": (UNIX, UInt32(MOST)),
    "unix, nul": (UNIX, String(b"/\0") + String("") + UInt32(0)),
    "unix, bad utf-8": (
        b"direct-streamlocal@openssh.com",
        String(b"\xff") + String("") + UInt32(0),
    ),
    "unix, long": (b"direct-streamlocal@openssh.com", String("/" * 5000) + String("") + UInt32(0)),
    "tun": (b"tun@openssh.com", UInt32(7)),
}
GLOBALS = {
    "unknown": (b"no-such@example.org", b""),
    "not ascii": (b"\xff\xff", b""),
    "no name": (b"", b""),
    "listen cut short": (b"tcpip-forward", b""),
    "listen, bad utf-8": (b"tcpip-forward", String(b"\xff") + UInt32(0)),
    "listen, nul": (b"tcpip-forward", String(b"a\0") + UInt32(0)),
    "listen, port": (b"tcpip-forward", String("localhost") + UInt32(MOST)),
    "cancel cut short": (b"cancel-tcpip-forward", b""),
    "cancel what is not": (b"cancel-tcpip-forward", String("x") + UInt32(1)),
    "unix, nul": (b"streamlocal-forward@openssh.com", String(b"/tmp/\0")),
    "unix, no directory": (b"streamlocal-forward@openssh.com", String("/no/such")),
    "unix, more": (b"streamlocal-forward@openssh.com", String("/x") + b"y"),
    "proof of nothing known": (b"hostkeys-prove-00@openssh.com", String("x")),
    "proof cut short": (b"hostkeys-prove-00@openssh.com", UInt32(MOST)),
}
REQUESTS = {
    "unknown": (b"no-such@example.org", b""),
    "not ascii": (b"\xff", b""),
    "no name": (b"", b""),
    "terminal cut short": (b"pty-req", String("xterm") + UInt32(80)),
    "terminal of 10**9 columns, modes cut short": (
        b"pty-req", String(b"\xff\0\n") + HUGE + String(b"\x35\0\0"),
    ),
    "terminal again": (b"pty-req", String("xterm") + SIZE + String("")),
    "size cut short": (b"window-change", UInt32(1)),
    "variable cut short": (b"env", String("LANG")),
    "variable, bad utf-8": (b"env", String(b"LC_\xff") + String(b"\xff")),
    "variable, nul": (b"env", String("LC_X\0") + String("a\0b")),
    "agent with more": (b"auth-agent-req@openssh.com", b"more"),
    "display cut short": (b"x11-req", Boolean(True) + String("p")),
    "display, no hex": (b"x11-req", Boolean(False) + String("p") + String("zz") + UInt32(MOST)),
    "display, script": (b"x11-req", Boolean(False) + String("a\nb") + String("00") + UInt32(MOST)),
    "exec cut short": (b"exec", UInt32(MOST)),
    "subsystem, bad utf-8": (b"subsystem", String(b"\xff")),
    "subsystem unknown": (b"subsystem", String("no-such")),
    "signal cut short": (b"signal", b""),
    "signal, bad utf-8": (b"signal", String(b"\xff")),
    "break cut short": (b"break", b"\1"),
    "end of write with more": (b"eow@openssh.com", b"more"),
    "status of a client": (b"exit-status", UInt32(1)),
}  # fmt: skip
TAKEN = {
    "size": (b"window-change", HUGE),
    "signal unknown": (b"signal", String("NO\0SUCH")),
    "signal mask": (b"signal", String("_BLOCK")),
    "signal, empty": (b"signal", String("")),
}
"""What may be answered with success: nothing comes of it."""


class Odd:
    """A client that sends what it likes and keeps the answers."""

    def __init__(self, client: asyncssh.SSHClientConnection) -> None:
        self.client = client
        self.answers: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        internals = cast("Any", client)
        kept = dict.fromkeys(
            (
                MSG_CHANNEL_OPEN_CONFIRMATION, MSG_CHANNEL_OPEN_FAILURE,
                MSG_REQUEST_SUCCESS, MSG_REQUEST_FAILURE,
            ),
            self._keep,
        )  # fmt: skip
        internals._packet_handlers = {**type(client)._packet_handlers, **kept}
        internals._channels = _Channel(self)

    def _keep(self, _: object, kind: int, __: int, packet: SSHPacket) -> None:
        self.answers.put_nowait((kind, packet.get_full_payload()[1:]))

    def process_packet(self, kind: int, _: int, packet: SSHPacket) -> bool:
        """A packet for any channel."""
        if kind in {MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE}:
            self._keep(None, kind, 0, packet)
        return True

    def log_received_packet(self, *_: object) -> None:
        """asyncssh's own channels log."""

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(TIMEOUT):
            return await self.answers.get()

    def open(self, kind: bytes, rest: bytes, window: int = WINDOW, size: int = 32768) -> None:
        head = String(kind) + UInt32(7) + UInt32(window) + UInt32(size)
        self.client.send_packet(MSG_CHANNEL_OPEN, head + rest)

    async def session(self, window: int = WINDOW) -> int:
        """The number of a new session channel."""
        self.open(b"session", b"", window)
        kind, body = await self.answer()
        assert kind == MSG_CHANNEL_OPEN_CONFIRMATION
        return int.from_bytes(body[4:8], "big")

    def request(self, channel: int, name: bytes, rest: bytes, *, reply: bool = True) -> None:
        body = UInt32(channel) + String(name) + Boolean(reply) + rest
        self.client.send_packet(MSG_CHANNEL_REQUEST, body)

    async def is_served(self) -> None:
        """Raises AssertionError when the connection is not as it was."""
        channel = await self.session()
        self.request(channel, b"exec", String("true"))
        assert (await self.answer())[0] == MSG_CHANNEL_SUCCESS


class _Channel(dict[int, Odd]):
    """Every channel's packets go to one."""

    def __init__(self, odd: Odd) -> None:
        super().__init__()
        self._odd = odd

    def __missing__(self, _: int) -> Odd:
        return self._odd

    def values(self) -> Any:
        return []


@asynccontextmanager
async def connected(served: Served) -> AsyncGenerator[Odd]:
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, client_keys=[served.key],
        agent_path=None, config=None,
    ) as client:  # fmt: skip
        yield Odd(client)


@pytest.fixture
async def odd(served: Served) -> AsyncGenerator[Odd]:
    async with connected(served) as made:
        yield made
        await made.is_served()
        assert served.gate.gone == []


async def test_openings(odd: Odd) -> None:
    for name, (kind, rest) in OPENINGS.items():
        odd.open(kind, rest)
        answer, body = await odd.answer()
        assert (answer, body[:4]) == (MSG_CHANNEL_OPEN_FAILURE, UInt32(7)), name
    for size in (0, 1, 1023):
        odd.open(b"session", b"", size=size)
        assert (await odd.answer())[0] == MSG_CHANNEL_OPEN_FAILURE
    for cut in range(1, 20):
        body = String("session") + UInt32(7) + UInt32(0) + UInt32(32768)
        odd.client.send_packet(MSG_CHANNEL_OPEN, body[:cut])


async def test_global_requests(odd: Odd) -> None:
    for name, (kind, rest) in GLOBALS.items():
        odd.client.send_packet(MSG_GLOBAL_REQUEST, String(kind) + Boolean(True) + rest)
        assert (await odd.answer())[0] == MSG_REQUEST_FAILURE, name
    odd.client.send_packet(MSG_GLOBAL_REQUEST, UInt32(MOST))
    odd.client.send_packet(MSG_GLOBAL_REQUEST, b"")


@pytest.mark.parametrize("running", [False, True])
async def test_channel_requests(odd: Odd, running: bool) -> None:
    channel = await odd.session()
    if running:
        odd.request(channel, b"pty-req", String("xterm") + SIZE + String(b"\x35"))
        assert (await odd.answer())[0] == MSG_CHANNEL_SUCCESS
        odd.request(channel, b"exec", String("cat"))
        assert (await odd.answer())[0] == MSG_CHANNEL_SUCCESS
    for name, (kind, rest) in [*REQUESTS.items(), *TAKEN.items()]:
        odd.request(channel, kind, rest)
        answer = (await odd.answer())[0]
        taken = {MSG_CHANNEL_FAILURE, MSG_CHANNEL_SUCCESS}
        taken_here = kind in {b"pty-req", b"env", b"window-change", b"signal"}
        assert answer in (taken if taken_here else {MSG_CHANNEL_FAILURE}), name
    odd.client.send_packet(MSG_CHANNEL_REQUEST, UInt32(channel))
    odd.client.send_packet(MSG_CHANNEL_REQUEST, UInt32(channel) + UInt32(MOST))
    odd.client.send_packet(MSG_CHANNEL_SUCCESS, UInt32(channel))
    for _ in range(3):
        odd.client.send_packet(MSG_CHANNEL_WINDOW_ADJUST, UInt32(channel) + UInt32(MOST))


async def test_what_cannot_be_started_is_refused_alone(odd: Odd) -> None:
    """Also where nothing may be sent back, as the window is 0."""
    for window in (0, 1, MOST):
        channel = await odd.session(window)
        odd.request(channel, b"env", String("LC_X") + String("a\0b"))
        await odd.answer()
        odd.request(channel, b"pty-req", String("\0") + HUGE + String(b"\x35\0"))
        await odd.answer()
        odd.request(channel, b"exec", String(b"true\0\xff"))
        assert (await odd.answer())[0] == MSG_CHANNEL_SUCCESS


async def test_host_keys_are_proved_a_few_times_and_each_once(served: Served, odd: Odd) -> None:
    """A signature is dear; with a packet full of names the whole host stood still."""
    key = served.host._options.server_host_keys
    data = next(iter(key.values())).public_data
    prove = String("hostkeys-prove-00@openssh.com") + Boolean(True)
    odd.client.send_packet(MSG_GLOBAL_REQUEST, prove + String(data) * 4000)
    assert (await odd.answer())[0] == MSG_REQUEST_FAILURE
    answers: list[int] = []
    for _ in range(PROOFS + 2):
        odd.client.send_packet(MSG_GLOBAL_REQUEST, prove + String(data))
        answers.append((await odd.answer())[0])
    assert answers.count(MSG_REQUEST_SUCCESS) == PROOFS - 1
    assert answers[-1] == MSG_REQUEST_FAILURE


async def test_noise_ends_nothing(odd: Odd) -> None:
    """Any bytes behind the names of what we know."""
    chance = random.Random(os.environ.get("PYTEST_RANDOM_SEED", "odd"))
    channel = await odd.session()
    kinds = sorted({kind for kind, _ in REQUESTS.values()} - {b"exec"})
    openings = [b"direct-tcpip", UNIX, b"tun@openssh.com"]
    named = [b"tcpip-forward", b"cancel-tcpip-forward", b"hostkeys-prove-00@openssh.com",
             b"streamlocal-forward@openssh.com", b"no-such"]  # fmt: skip
    for _ in range(60):
        noise = chance.randbytes(chance.randrange(40))
        odd.request(channel, chance.choice(kinds), noise)
        odd.open(chance.choice(openings), noise)
        odd.client.send_packet(
            MSG_GLOBAL_REQUEST, String(chance.choice(named)) + Boolean(True) + noise
        )
        for _ in range(3):
            await odd.answer()
