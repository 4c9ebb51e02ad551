"""The relay vouches for no key whose possession it has not checked."""

# pyright: reportPrivateUsage=false

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import asyncssh
import paramiko
import pytest
from asyncssh.constants import MSG_USERAUTH_REQUEST

from tests.network.relay.sshhost import Ssh, run, serve_ssh
from tests.network.relay.standin import StandIn, new_key, public_line, route
from uptui.protocol.border import MAX_KEY
from uptui.protocol.names import new_token
from uptui.relay.gateway.screening import MAX_ASKED, Screener
from uptui.relay.server import Relay
from uptui.relay.settings import SocketAddress
from uptui.relay.tunnel.broker import Caller


class _Claimed(paramiko.Ed25519Key):
    """Somebody's public key without its private half: what it signs is worth nothing."""

    def __init__(self, public: asyncssh.SSHKey) -> None:
        self._public = public

    def get_name(self) -> str:
        return "ssh-ed25519"

    def asbytes(self) -> bytes:
        return self._public.public_data

    def can_sign(self) -> bool:
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        message = paramiko.Message()
        message.add_string("ssh-ed25519")
        message.add_string(b"\0" * 64)
        return message


def _claim(
    gateway: SocketAddress, plain: str, closed: str, victim: asyncssh.SSHKey
) -> paramiko.Transport:
    """Show the victim's key under a name that takes keys, then get in by one that takes none."""
    transport = paramiko.Transport((gateway.host, gateway.port))
    transport.start_client(timeout=10)
    with pytest.raises(paramiko.AuthenticationException):
        transport.auth_publickey(plain, _Claimed(victim))
    ask = paramiko.Message()
    ask.add_byte(bytes([MSG_USERAUTH_REQUEST]))
    for text in (closed, "ssh-connection", "none"):
        ask.add_string(text)
    cast("Any", transport)._send_message(ask)  # auth_none() would ask for the service again
    deadline = time.monotonic() + 10
    while not transport.is_authenticated() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert transport.is_authenticated()
    return transport


async def test_a_key_that_was_only_shown_is_not_vouched_for(relay: Relay, host: StandIn) -> None:
    serve_ssh(host)
    victim = new_key()
    plain, closed = new_token(), new_token()
    await host.publish(route(plain))
    async with StandIn(relay.addresses.http, e2e_only=True) as target:
        serve_ssh(target)
        await target.publish(route(closed))
        gateway = relay.addresses.ssh
        assert gateway is not None
        transport = await asyncio.to_thread(_claim, gateway, plain, closed, victim)
        target.e2e_only = False  # the owner opens the plain way while the stranger waits
        await target.publish(route(closed))
        with pytest.raises(paramiko.SSHException):
            await asyncio.to_thread(transport.open_session, timeout=10)
        await asyncio.to_thread(transport.close)
        assert target.dials == []


async def test_the_key_that_signed_is_vouched_for(
    relay: Relay, host: StandIn, tmp_path: Path
) -> None:
    serve_ssh(host)
    name = new_token()
    await host.publish(route(name))
    ssh = Ssh(tmp_path / "ssh", relay.addresses)
    assert (await run([*ssh.argv("plain", name, None), "echo", "in"]))[1] == b"in\n"
    (dial,) = host.dials
    assert dial.verified_key == " ".join(ssh.key.export_public_key().decode().split()[:2])


async def test_a_host_that_says_nothing_about_a_key_decides_when_its_client_is_there(
    relay: Relay, host: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uptui.relay.gateway.screening.WAIT", 0.2)
    serve_ssh(host)
    host.screening = None
    name = new_token()
    await host.publish(route(name))
    client = Ssh(tmp_path / "ssh", relay.addresses)
    assert await run([*client.argv("plain", name, None), "echo", "in"]) == (0, b"in\n", "")
    assert {one.key for one in host.shown} == {public_line(client.key)}


def _screener(relay: Relay) -> Screener:
    assert relay._running is not None
    return relay._running._gateway.screener


async def test_keys_that_strangers_show_do_not_use_up_what_a_host_may_say(
    relay: Relay, host: StandIn
) -> None:
    """600 messages a minute are its own; its answers about keys are the strangers'."""
    serve_ssh(host)
    host.screening = "no"
    name = new_token()
    await host.publish(route(name))
    limit = relay.broker.limits.control_messages_per_minute
    screener = _screener(relay)
    caller = Caller(SocketAddress("192.0.2.1", 1), public_line(new_key()), name, "SSH-2.0-x")
    for _ in range(limit // 50 + 1):
        said = await asyncio.gather(*(screener.screen(caller) for _ in range(50)))
        assert set(said) == {"no"}
    assert host.goodbye is None
    many = await asyncio.gather(*(screener.screen(caller) for _ in range(MAX_ASKED + 1)))
    assert many.count("in") == 1, "beyond that the host decides when the client is there"


async def test_a_key_too_long_for_a_frame_is_refused_here(relay: Relay, host: StandIn) -> None:
    serve_ssh(host)
    name = new_token()
    await host.publish(route(name))
    caller = Caller(SocketAddress("192.0.2.1", 1), "ssh-rsa " + "A" * MAX_KEY, name, "SSH-2.0-x")
    assert await _screener(relay).screen(caller) == "no"
    assert not host.shown
