"""Algorithms and timings of the relay's SSH connections, both as server and towards hosts."""

from typing import Final

import asyncssh

from uptui import __version__
from uptui.relay.gateway.packet_forwarding import MAX_PACKET
from uptui.ssh.fastpath.packets import REKEY_BYTES
from uptui.ssh.policy import CLIENT_SIGNATURES, SERVER_NAME, algorithms

WINDOW: Final = 4 * 1024 * 1024


def accept_options(
    keys: list[asyncssh.SSHKey], login_timeout: float
) -> asyncssh.SSHServerConnectionOptions:
    """For clients. No keepalives of our own: on the plain way their replies would have to be told
    from the host's, and TCP's notice a dead peer as well."""
    return asyncssh.SSHServerConnectionOptions(
        server_factory=asyncssh.SSHServer,
        server_host_keys=keys,
        server_version=SERVER_NAME,
        login_timeout=login_timeout,
        **algorithms(),
        signature_algs=list(CLIENT_SIGNATURES),
        kbdint_auth=True,  # of a client whose key was put off
        rekey_bytes=REKEY_BYTES,
        host_based_auth=False,
        gss_host=None,
        agent_forwarding=False,
        x11_forwarding=False,
        allow_pty=False,
        encoding=None,
        window=WINDOW,
        max_pktsize=MAX_PACKET,
        config=None,
    )


def connect_options(
    user: str, host_keys: list[asyncssh.SSHKey], login_timeout: float
) -> asyncssh.SSHClientConnectionOptions:
    """For a host, which takes our word for the client's key."""
    return asyncssh.SSHClientConnectionOptions(
        client_factory=asyncssh.SSHClient,
        host="host",  # what its errors call it
        port=22,
        username=user,
        known_hosts=_only(host_keys),
        client_version=f"uptui_{__version__}",
        client_keys=None,
        agent_path=None,
        password_auth=False,
        kbdint_auth=False,
        public_key_auth=False,
        host_based_auth=False,
        gss_host=None,
        login_timeout=login_timeout,
        **algorithms(),
        rekey_bytes=REKEY_BYTES,
        config=None,
    )


def _only(host_keys: list[asyncssh.SSHKey]) -> tuple[list[asyncssh.SSHKey], ...]:
    """Known hosts of these keys: trusted, of authorities, revoked."""
    return host_keys, [], []
