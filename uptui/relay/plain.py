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
from uptui.protocol.names import masked
from uptui.relay import logs
from uptui.relay.forwarding import ClientLine, HostLine
from uptui.relay.registry import Host
from uptui.relay.sshlink import SshLink
from uptui.relay.sshpolicy import connect_options
from uptui.relay.switchboard import Caller, HostStream, Switchboard

HOST_LOGIN_TIMEOUT: Final = 15.0
"""Seconds for the SSH handshake with the host."""
MAX_REASON: Final = 500
FAILED: Final = "the relay has failed on this connection; its log tells its operator why"

log = logs.logger("uptui.relay.plain")


class PlainSession:
    """One client whose packets go to a host."""

    def __init__(
        self,
        board: Switchboard,
        client: ClientLine,
        link: SshLink,
        caller: Caller,
    ) -> None:
        self._board = board
        self._client = client
        self._link = link
        self._caller = caller
        self._name = caller.user or ""
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
        owner = self._board.registry.serving(self._name)
        stream = await self._board.call(self._name, "plain", self._caller)
        if owner is None:
            stream.leg.abort()
            raise RefusedError("the host has just gone; try again")
        link = SshLink(stream.leg, self._caller.address, self._board.limits.linger)
        host = await self._log_in(owner, stream, link)
        if self._over:
            host.abort()
            return
        self._host = host
        link.choke, self._link.choke = self._link.hold, link.hold
        host.forward(self._client)
        self._client.forward(host)
        self._account(stream)

    async def _log_in(self, owner: Host, stream: HostStream, link: SshLink) -> HostLine:
        keys = [asyncssh.import_public_key(line) for line in owner.host_keys]
        host = HostLine(connect_options(self._name, keys, HOST_LOGIN_TIMEOUT), _HostEnd(self))
        try:
            link.start(host, stream.early)
            await host.logged_in(HOST_LOGIN_TIMEOUT)
        except asyncssh.HostKeyNotVerifiable:
            log.warning("plain_host_key_mismatch", name=masked(self._name))
            raise RefusedError(
                "the host shows another host key than it has published; the relay refuses it"
            ) from None
        except (asyncssh.Error, OSError, TimeoutError) as error:
            stream.leg.abort()
            text = getattr(error, "reason", "") or str(error) or "no answer"
            raise RefusedError(f"the host refuses: {text[:MAX_REASON]}") from error
        return host

    def _account(self, stream: HostStream) -> None:
        """Count what goes over the client's wire, outside encryption."""
        leg = self._link.leg
        joint = self._board.joint(self._name, "plain", stream, lambda: None)
        joint.abort = leg.abort
        before = leg.on_lost
        splices = self._board.splices

        def lost() -> None:
            splices.remove(joint)
            if before is not None:
                before()

        leg.on_data = partial(splices.received, joint, leg)
        stream.leg.on_data = partial(splices.sent, joint, stream.leg)
        leg.on_lost = lost
        splices.add(joint)


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
