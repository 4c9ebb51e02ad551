"""The plain way: a second SSH connection to the host, and packets forwarded between the two.

The host trusts the relay's word for the client's key (it came with the dial); the relay checks the
host key against the published ones. What either side says when it leaves is told to the other.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import asyncssh
from asyncssh.constants import DISC_BY_APPLICATION, DISC_CONNECTION_LOST

from uptui.errors import RefusedError
from uptui.protocol.names import masked, split_secret
from uptui.relay import logs
from uptui.relay.gateway.packet_forwarding import ClientLine, HostLine
from uptui.relay.gateway.pipe_transport import SshLink
from uptui.relay.gateway.policy import connect_options
from uptui.relay.tunnel.broker import Broker, Caller, HostStream
from uptui.relay.tunnel.registry import ConnectedHost

HOST_LOGIN_TIMEOUT: Final = 15.0
"""Seconds for the SSH handshake with the host."""
MAX_REASON: Final = 500
FAILED: Final = "the relay has failed on this connection; its log tells its operator why"

log = logs.logger("uptui.relay.gateway.plain")


class PlainSession:
    """One client whose packets go to a host."""

    def __init__(
        self,
        broker: Broker,
        client: ClientLine,
        link: SshLink,
        caller: Caller,
    ) -> None:
        self._broker = broker
        self._client = client
        self._link = link
        self._caller = caller
        self._user = caller.user or ""
        self._name, _ = split_secret(self._user)
        self._host: HostLine | None = None
        self._over = False

    async def open(self, packets: Sequence[tuple[int, bytes]]) -> None:
        """Reach the host and send it the client's first packets, each as its message number and the
        rest, then everything that follows."""
        self._link.hold(True)
        try:
            await self._connect()
        except RefusedError as error:
            self._client.disconnect(DISC_CONNECTION_LOST, str(error))
            return
        except Exception:
            log.exception("plain_failed", name=masked(self._name))
            self._client.disconnect(DISC_CONNECTION_LOST, FAILED)
            raise
        finally:
            self._link.hold(False)
        if self._host is not None:
            for kind, body in packets:
                self._host.send_packet(kind, body)

    def client_lost(self, error: Exception | None) -> None:
        """The client has left: the host is told why."""
        self._over = True
        if self._host is not None:
            self._host.disconnect(*_reason(error, "the client has left"))

    def host_lost(self, error: Exception | None) -> None:
        """The host has left after the client was connected with it: the client is told why."""
        if not self._over and self._host is not None:
            self._over = True
            self._client.disconnect(*_reason(error, "the host has closed the connection"))

    async def _connect(self) -> None:
        """Raises RefusedError with a message for the client."""
        owner = self._broker.registry.serving(self._name)
        stream = await self._broker.call(self._name, "plain", self._caller)
        if owner is None:
            stream.end.abort()
            raise RefusedError("the host has just gone; try again")
        link = SshLink(stream.end, self._caller.address, self._broker.limits.linger)
        host = await self._log_in(owner, stream, link)
        if self._over:
            host.abort()
            return
        self._host = host
        link.choke, self._link.choke = self._link.hold, link.hold
        host.forward(self._client)
        self._client.forward(host)
        self._account(stream)

    async def _log_in(self, owner: ConnectedHost, stream: HostStream, link: SshLink) -> HostLine:
        keys = [asyncssh.import_public_key(line) for line in owner.host_keys]
        host = HostLine(connect_options(self._user, keys, HOST_LOGIN_TIMEOUT), _HostEnd(self))
        try:
            link.start(host, stream.early)
            await host.logged_in(HOST_LOGIN_TIMEOUT)
        except asyncssh.HostKeyNotVerifiable:
            log.warning("plain_host_key_mismatch", name=masked(self._name))
            raise RefusedError(
                "the host shows another host key than it has published; the relay refuses it"
            ) from None
        except (asyncssh.Error, OSError, TimeoutError) as error:
            stream.end.abort()
            text = getattr(error, "reason", "") or str(error) or "no answer"
            raise RefusedError(f"the host refuses: {text[:MAX_REASON]}") from error
        return host

    def _account(self, stream: HostStream) -> None:
        """Count what goes over the client's wire, outside encryption."""
        end = self._link.end
        pipe = self._broker.pipe(self._name, "plain", stream, lambda: None)
        pipe.abort = end.abort
        before = end.on_lost
        pipes = self._broker.pipes

        def lost() -> None:
            pipes.remove(pipe)
            if before is not None:
                before()

        end.on_data = partial(pipes.received, pipe, end)
        stream.end.on_data = partial(pipes.sent, pipe, stream.end)
        end.on_lost = lost
        pipes.add(pipe)


class _HostEnd(asyncssh.SSHClient):
    """Notices when the host leaves."""

    def __init__(self, session: PlainSession) -> None:
        self._session = session

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.host_lost(exc)


def _reason(error: Exception | None, default: str) -> tuple[int, str]:
    if isinstance(error, asyncssh.DisconnectError):
        return error.code, error.reason[:MAX_REASON]
    return DISC_BY_APPLICATION, default
