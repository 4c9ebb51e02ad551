"""A real ssh reaches the host by direct port, jump and plain."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from asyncssh.connection import SSHConnection
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_OPEN,
    MSG_DISCONNECT,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
)
from asyncssh.packet import String, UInt32

from tests.network.relay.sshhost import Ssh, SshHost, blob, run, serve_ssh
from tests.network.relay.standin import StandIn, eventually, new_key, route
from uptui.protocol.names import RouteName, Way, new_token
from uptui.relay.gateway.hostkey import public_line
from uptui.relay.gateway.packet_forwarding import Line
from uptui.relay.server import Relay
from uptui.relay.tunnel import pipe
from uptui.runtime.busy_poll import Pace

WAYS: tuple[Way, ...] = ("port", "jump", "plain")
SIZE = 64 * 1024 * 1024


class Heard(Pace):
    """Adds up what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.questions = self.answers = 0

    def asked(self, size: int) -> None:
        self.questions += size

    def answered(self, size: int) -> None:
        self.answers += size


@dataclass
class Setup:
    relay: Relay
    host: StandIn
    server: SshHost
    ssh: Ssh
    name: RouteName
    port: int

    def argv(self, way: Way, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        argv = self.ssh.argv(way, self.name, self.port)
        return [*argv[:-1], *options, argv[-1], *command]


@pytest.fixture
async def setup(relay: Relay, host: StandIn, tmp_path: Path) -> Setup:
    server = serve_ssh(host)
    name = new_token()
    port = await host.port_of(name)
    return Setup(relay, host, server, Ssh(tmp_path / "ssh", relay.addresses), name, port)


@pytest.mark.parametrize("way", WAYS)
async def test_exec_stdout_stderr_and_status(setup: Setup, way: Way) -> None:
    assert await run(setup.argv(way, "echo", "it", "works")) == (0, b"it works\n", "")
    assert await run(setup.argv(way, "exit", "42")) == (42, b"", "oops")
    assert {way_ for way_, _ in setup.server.users} == {way}


@pytest.mark.parametrize("way", ["jump", "plain"])
async def test_an_answer_that_nobody_waits_for_is_a_sign_of_life(setup: Setup, way: Way) -> None:
    gateway = setup.relay.addresses.ssh
    assert gateway is not None
    async with asyncssh.connect(
        gateway.host, gateway.port, username="jump" if way == "jump" else setup.name,
        known_hosts=None, config=None, client_keys=[setup.ssh.key], agent_path=None,
    ) as client:  # fmt: skip
        client.send_packet(MSG_REQUEST_FAILURE)
        client.send_packet(MSG_REQUEST_SUCCESS)
        if way == "plain":
            assert (await client.run("echo in")).stdout == "in\n"
            return
        async with asyncssh.connect(
            setup.name, tunnel=client, username="me", known_hosts=None, config=None,
            client_keys=[setup.ssh.key], agent_path=None,
        ) as inner:  # fmt: skip
            assert (await inner.run("echo in")).stdout == "in\n"


async def test_a_host_that_refuses_on_the_plain_way_is_told_by_its_words(setup: Setup) -> None:
    setup.server.refuses = True
    status, out, error = await run(setup.argv("plain", "echo", "hello"))
    assert (status, out) == (255, b"")
    wanted = f"the host refuses: Permission denied for user {setup.name} on host host"
    assert wanted in error.replace("\n", " ")


PLAIN_SIZE = 8 * 1024 * 1024


async def plain_down_and_up(setup: Setup, *options: str) -> None:
    flags = tuple(word for option in options for word in ("-o", option))
    status, out, _ = await run(setup.argv("plain", "get", str(PLAIN_SIZE), options=flags))
    assert (status, out == blob(PLAIN_SIZE)) == (0, True)
    argv = setup.argv("plain", "put", options=flags)
    status, out, error = await run(argv, stdin=blob(PLAIN_SIZE))
    assert (status, error) == (0, "")
    assert out.decode() == hashlib.sha256(blob(PLAIN_SIZE)).hexdigest()


async def test_plain_passes_packets_on_without_asyncssh(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[int] = []

    def counted(line: Any) -> bool:
        packet = getattr(line._recv_encryption, "opened", None)
        if isinstance(line, Line) and packet:
            kinds.append(packet[1])
        return native(line)

    native = cast("Any", SSHConnection)._recv_packet
    monkeypatch.setattr(SSHConnection, "_recv_packet", counted)
    await plain_down_and_up(setup, "Ciphers=aes128-gcm@openssh.com")
    assert MSG_CHANNEL_OPEN in kinds
    assert MSG_CHANNEL_DATA not in kinds


@pytest.mark.parametrize("cipher", ["aes128-gcm@openssh.com", "aes128-ctr"])
async def test_plain_with_other_ciphers_and_while_keys_are_exchanged(
    setup: Setup, cipher: str
) -> None:
    await plain_down_and_up(setup, f"Ciphers={cipher}", "RekeyLimit=1M")


@pytest.mark.parametrize("way", WAYS)
async def test_64_mb_down_and_up(setup: Setup, way: Way) -> None:
    status, out, _ = await run(setup.argv(way, "get", str(SIZE)))
    assert (status, len(out)) == (0, SIZE)
    data = blob(SIZE)
    assert out == data
    status, out, error = await run(setup.argv(way, "put"), stdin=data)
    assert (status, error) == (0, "")
    assert out.decode() == hashlib.sha256(data).hexdigest()
    tally = setup.relay.broker.tallies[setup.name, way]
    assert tally.sent > SIZE
    assert tally.received > SIZE
    await eventually(lambda: tally.open == 0, "both connections counted as closed")


@pytest.mark.parametrize("way", WAYS)
async def test_the_loop_learns_of_what_passes(
    setup: Setup, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    monkeypatch.setattr(pipe, "PACE", heard)
    assert (await run(setup.argv(way, "get", "100000")))[0] == 0
    tally = setup.relay.broker.tallies[setup.name, way]
    assert heard.questions == tally.received > 0
    assert heard.answers == tally.sent > 100_000


@pytest.mark.parametrize("way", WAYS)
async def test_20_connections_at_once(setup: Setup, way: Way) -> None:
    texts = [f"number-{n}" for n in range(20)]
    results = await asyncio.gather(*(run(setup.argv(way, "echo", text)) for text in texts))
    assert [out.decode().strip() for _, out, _ in results] == texts


@pytest.mark.parametrize("way", WAYS)
async def test_rekeying_on_both_sides_loses_nothing(setup: Setup, way: Way) -> None:
    setup.server.rekey_bytes = 1 << 20
    data = blob(16 << 20)
    argv = setup.argv(way, "cat", options=("-o", "RekeyLimit=1M"))
    status, out, err = await run(argv, stdin=data)
    assert (status, err) == (0, "")
    assert out == data


async def test_plain_vouches_for_the_key_and_names_the_client(setup: Setup) -> None:
    await run(setup.argv("plain", "echo"))
    dial = setup.host.dials[-1]
    assert dial.verified_key == public_line(setup.ssh.key)
    assert dial.user == setup.name
    assert (dial.client_version or "").startswith("SSH-2.0-OpenSSH")


@pytest.mark.parametrize(
    ("options", "cipher"),
    [((), "aes128-gcm@openssh.com"), (("-c", "aes192-ctr"), "aes192-ctr")],
    ids=["stock", "ctr-only"],
)
async def test_plain_prefers_gcm_and_can_do_ctr(
    setup: Setup, options: tuple[str, ...], cipher: str
) -> None:
    status, out, log = await run(setup.argv("plain", "echo", "in", options=("-v", *options)))
    assert (status, out) == (0, b"in\n")
    assert f"kex: server->client cipher: {cipher}" in log


async def test_plain_needs_a_key(setup: Setup) -> None:
    argv = setup.argv("plain", "echo", options=("-o", "PubkeyAuthentication=no"))
    status, _, err = await run(argv)
    assert status == 255
    assert "Permission denied (publickey)" in err
    assert not setup.host.dials


async def test_plain_refuses_a_host_with_another_key(setup: Setup) -> None:
    setup.server.key = new_key()
    status, _, err = await run(setup.argv("plain", "echo"))
    assert status == 255
    assert "another host key" in err


async def test_end_to_end_only_closes_plain_and_says_what_to_do(setup: Setup) -> None:
    setup.host.e2e_only = True
    await setup.host.publish(route(setup.name))
    status, _, err = await run(setup.argv("plain", "echo"))
    assert status == 255
    assert "end to end" in err
    assert (await run(setup.argv("jump", "echo", "ok")))[1] == b"ok\n"


@pytest.mark.parametrize("way", ["jump", "plain"])
async def test_an_unknown_name_is_told_so(setup: Setup, way: Way) -> None:
    gone = new_token()
    status, _, err = await run([*setup.ssh.argv(way, gone, None), "echo"])
    assert status == 255
    assert "no session called" in err
    assert "ask its owner" in err


@pytest.mark.parametrize("way", WAYS)
async def test_several_channels_over_one_connection(setup: Setup, way: Way, tmp_path: Path) -> None:
    control = f"ControlPath={tmp_path}/c"
    master = await asyncio.create_subprocess_exec(
        *setup.argv(way, "wait", options=("-M", "-o", control)), stdout=asyncio.subprocess.PIPE
    )
    assert master.stdout is not None
    assert await master.stdout.readline() == b"waiting\n"
    results = await asyncio.gather(
        *(run(setup.argv(way, "echo", str(n), options=("-o", control))) for n in range(10))
    )
    assert [out.decode().strip() for _, out, _ in results] == [str(n) for n in range(10)]
    assert len(setup.host.dials) == 1
    master.kill()
    await master.wait()


@pytest.mark.parametrize("way", WAYS)
async def test_a_host_that_disconnects_ends_the_client(setup: Setup, way: Way) -> None:
    running = asyncio.ensure_future(run(setup.argv(way, "wait")))
    await eventually(lambda: bool(setup.server.conns), "the connection")
    await asyncio.wait([running], timeout=0.2)
    reason = UInt32(11) + String("kicked by the test") + String("")
    setup.server.conns[0].send_packet(MSG_DISCONNECT, reason)
    status, out, err = await running
    assert (status, out) == (255, b"waiting\n")
    assert "kicked by the test" in err


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_is_killed_ends_the_hosts_connection(setup: Setup, way: Way) -> None:
    process = await asyncio.create_subprocess_exec(
        *setup.argv(way, "wait"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"waiting\n"
    process.kill()
    await process.wait()
    await eventually(setup.server.conns[0].is_closed, "the host notices")


@pytest.mark.parametrize("way", WAYS)
async def test_forwarding_both_directions(setup: Setup, way: Way) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read(100))
        writer.close()

    service = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]
    argv = setup.argv(way, options=("-W", f"127.0.0.1:{port}"))
    status, out, _ = await run(argv, stdin=b"data")
    assert (status, out) == (0, b"got data")
    service.close()
    await service.wait_closed()


async def test_unpublishing_ends_all_three_ways_at_once(setup: Setup) -> None:
    await setup.host.publish()
    for way in WAYS:
        status, _, err = await run(setup.argv(way, "echo"))
        assert status == 255, way
        assert "refused" in err or "no session called" in err, (way, err)
