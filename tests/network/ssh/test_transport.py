"""The transport: keys changed in mid-transfer, odd packet sizes, other clients, stalled ones."""

import asyncio
import contextlib
import hashlib
import os
import re
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace

import asyncssh
import paramiko
import pytest
from asyncssh.constants import (
    MSG_KEX_FIRST,
    MSG_KEXINIT,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
)

from tests.network.ssh.conftest import Ran, Served, Server, new_key, run, start, until, write_key
from uptui.host.sshd import transport as wire
from uptui.host.sshd.settings import SshLimits, SSHSettings
from uptui.ssh.policy import SHORT_WAIT, ciphers, has_aes

MIB = 1024 * 1024


async def ssh_keyscan(served: Served) -> str:
    result = await run(["ssh-keyscan", "-p", str(served.port), "127.0.0.1"])
    return result.out.decode()


@pytest.mark.parametrize(
    "cipher",
    ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"],
)
async def test_keys_change_during_transfers(served: Served, cipher: str) -> None:
    data = os.urandom(16 * MIB)
    options = ("-oRekeyLimit=1M", f"-oCiphers={cipher}", "--")
    result = await served.ssh(*options, "cat", stdin=data)
    assert result.status == 0
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(data).digest()


async def test_100_mib_with_a_rekey_each_mib(served: Served) -> None:
    result = await served.ssh("-oRekeyLimit=1M", "--", "head -c 104857600 /dev/zero; exit 3")
    assert (result.status, len(result.out)) == (3, 100 * MIB)


async def test_we_change_keys_too(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uptui.host.sshd.transport.REKEY_BYTES", MIB)
    other = await Server(served.directory).serve()
    try:
        result = await other.ssh("head -c 20000000 /dev/zero; exit 3", log="DEBUG1")
        assert (result.status, len(result.out)) == (3, 20_000_000)
        assert result.err.count(b"SSH2_MSG_KEXINIT received") > 10
    finally:
        await other.host.close("")


async def test_openssh_gets_gcm_by_default_and_ctr_when_it_insists(served: Served) -> None:
    result = await served.ssh("true", log="DEBUG1")
    expected = "aes128-gcm@openssh.com" if has_aes() else "chacha20-poly1305@openssh.com"
    assert f"server->client cipher: {expected}".encode() in result.err
    assert b"kex: algorithm: " in result.err
    result = await served.ssh("-oCiphers=aes192-ctr", "--", "true", log="DEBUG1")
    assert b"server->client cipher: aes192-ctr" in result.err


def test_chacha_is_offered_only_without_aes() -> None:
    assert not any("chacha" in name for name in ciphers(aes=True))
    assert "chacha" in ciphers(aes=False)[0]


async def test_extensions(served: Served) -> None:
    result = await served.ssh("true", log="DEBUG3")
    assert b"will use strict KEX ordering" in result.err
    assert b"server-sig-algs=<" in result.err
    assert b"hostkeys-00@openssh.com" in result.err


async def test_an_answer_that_nobody_waits_for_is_a_sign_of_life(server: Server) -> None:
    """phpseclib's to our host keys; one more while we ask for a sign of life ends nothing, too."""
    served = await server.serve(SSHSettings(keepalive_interval=0.2, keepalive_count=3))
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, config=None,
        client_keys=[str(served.key)], agent_path=None,
    ) as client:  # fmt: skip
        for kind in (MSG_REQUEST_FAILURE, MSG_REQUEST_SUCCESS) * 20:
            client.send_packet(kind)
            await asyncio.sleep(0.03)
        assert (await client.run("echo in")).stdout == "in\n"


async def test_host_keys(server: Server) -> None:
    identity = new_key()
    served = await server.serve(host_keys=[identity])
    kinds = {line.split()[1] for line in (await ssh_keyscan(served)).splitlines()}
    assert kinds == {"ssh-ed25519", "ecdsa-sha2-nistp256"}
    first = await ssh_keyscan(served)
    again = await ssh_keyscan(await server.serve(host_keys=[identity]))
    keys = {tuple(line.split()[1:3]) for line in first.splitlines()}
    assert keys == {tuple(line.split()[1:3]) for line in again.splitlines()}


@pytest.mark.parametrize(
    "pinned",
    [
        "Ciphers=chacha20-poly1305@openssh.com",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
    ],
)
async def test_a_client_that_names_one_thing_only_gets_it(served: Served, pinned: str) -> None:
    result = await served.ssh(f"-o{pinned}", "--", "echo ok", log="DEBUG1")
    assert result.out == b"ok\n", result.err
    assert pinned.partition("=")[2].encode() in result.err


async def test_a_client_that_waits_for_our_offer_gets_it(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"SSH-2.0-patient\r\n")
    name = await reader.readline()
    assert re.search(rb"^SSH-2.0-OpenSSH_uptui_.*\d\d", name), "npm's ssh2 takes that for OpenSSH"
    async with asyncio.timeout(SHORT_WAIT + 5):
        packet = await reader.readexactly(6)
    assert packet[5] == MSG_KEXINIT
    writer.close()


async def test_a_fips_only_client(server: Server) -> None:
    served = await server.serve()
    key = served.directory / "ec"
    write_key(key, "ecdsa-sha2-nistp256")
    result = await served.ssh(
        "-oKexAlgorithms=ecdh-sha2-nistp256", "-oHostKeyAlgorithms=ecdsa-sha2-nistp256",
        "-oCiphers=aes256-ctr", "-oMACs=hmac-sha2-256", "-i", str(key), "--", "echo ok",
    )  # fmt: skip
    assert result.out == b"ok\n"


@pytest.mark.parametrize("kind", ["ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_keys_of_other_kinds(served: Served, kind: str) -> None:
    path = served.directory / kind
    write_key(path, kind)
    served.gate.accepts = lambda arrival: arrival.key.startswith(kind)
    assert (await served.ssh("-i", str(path), "--", "echo ok")).out == b"ok\n"


async def test_a_banner_is_shown(server: Server) -> None:
    banner = "".join(f"line {number} of a long banner\n" for number in range(200))
    served = await server.serve(SSHSettings(banner=banner))
    result = await served.ssh("true", log="INFO")
    assert banner in result.err.decode().replace("\r", "")


Forward = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, size: int = 65536) -> None:
    """Hand bytes on in pieces of at most `size`, until either side leaves."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(size):
            sink.write(data)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def reached_through(served: Served, forward: Forward) -> AsyncGenerator[Served]:
    """The server behind a port where `forward` hands the client's bytes on."""

    joints: list[asyncio.Task[None] | None] = []

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joints.append(asyncio.current_task())
        back, forth = await asyncio.open_connection("127.0.0.1", served.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(forward(reader, forth))
            group.create_task(copy(back, writer))

    server = await asyncio.start_server(joined, "127.0.0.1", 0)
    async with server:
        yield replace(served, port=server.sockets[0].getsockname()[1])
        await asyncio.gather(*filter(None, joints))


@pytest.mark.parametrize("chunk", [1, 7])
async def test_clients_that_send_byte_by_byte(served: Served, chunk: int) -> None:
    async with reached_through(served, lambda source, sink: copy(source, sink, chunk)) as slow:
        result = await slow.ssh("wc -c", stdin=b"x" * 5000)
    assert (result.status, result.out) == (0, b"5000\n")


async def opening(client: asyncio.StreamReader, packets: int) -> list[bytes]:
    """A client's version line and its first packets, before keys are agreed."""
    parts = [await client.readline()]
    for _ in range(packets):
        length = await client.readexactly(4)
        parts.append(length + await client.readexactly(int.from_bytes(length)))
    return parts


@pytest.mark.parametrize(
    ("client", "first"), [("ssh", [MSG_KEXINIT]), ("dbclient", [MSG_KEXINIT, MSG_KEX_FIRST])]
)
async def test_clients_that_send_everything_in_one_packet(
    served: Served, client: str, first: list[int]
) -> None:
    """All that each says without an answer of ours; Dropbear guesses how keys will be agreed."""
    kinds: list[int] = []

    async def at_once(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        version, *packets = await opening(source, len(first))
        kinds.extend(packet[5] for packet in packets)
        sink.write(version + b"".join(packets))
        await copy(source, sink)

    data = os.urandom(5000)
    async with reached_through(served, at_once) as hasty:
        if client == "ssh":
            result = await hasty.ssh("cat; exit 3", stdin=data)
        else:
            result = await run_dbclient(hasty, "cat; exit 3", data)
    assert (result.status, result.out) == (3, data)
    assert kinds == first


async def test_through_a_pair_of_unix_sockets(server: Server) -> None:
    served = await server.serve(pair=True)
    data = os.urandom(3 * MIB)
    result = await served.ssh("cat; echo $SSH_CONNECTION >&2", stdin=data)
    assert (result.status, result.out) == (0, data)
    assert result.err.split()[0] == b"127.0.0.1"


async def test_the_loop_learns_of_what_passes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answered: list[int] = []
    monkeypatch.setattr(wire.PACE, "asked", asked.append)
    monkeypatch.setattr(wire.PACE, "answered", answered.append)
    data = os.urandom(MIB)
    assert (await served.ssh("cat", stdin=data)).out == data
    assert sum(asked) > MIB
    assert sum(answered) > MIB


async def test_a_silent_client_is_asked_and_then_dropped(server: Server) -> None:
    served = await server.serve(SSHSettings(keepalive_interval=0.3, keepalive_count=2))
    process = await start(served.command("--", "sleep 60"))
    await until(lambda: len(served.gate.guests) == 1)
    await asyncio.sleep(1.5)
    assert served.gate.gone == []  # a living client answers
    process.send_signal(19)  # SIGSTOP
    await until(lambda: len(served.gate.gone) == 1)
    process.kill()
    await process.wait()


async def test_a_client_that_asks_for_signs_of_life_gets_them(served: Served) -> None:
    asks = ("-oServerAliveInterval=1", "-oServerAliveCountMax=1")
    result = await served.ssh(*asks, "--", "sleep 4.5; echo still here", log="DEBUG3")
    assert (result.status, result.out) == (0, b"still here\n")
    assert result.err.count(b"receive packet: type 81") >= 3  # SSH_MSG_REQUEST_SUCCESS


async def test_a_stalled_client_keeps_little_in_memory(server: Server) -> None:
    """A client with a boundless window that stops reading: we stop too."""
    served = await server.serve(SSHSettings(limits=SshLimits(unsent=MIB)))
    sock = socket.create_connection(("127.0.0.1", served.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = await asyncssh.connect(
        sock=sock, username="me", client_keys=[str(served.key)], known_hosts=None, config=None
    )
    process = await client.create_process(
        "cat /dev/zero", encoding=None, window=1 << 31, stdout=asyncssh.PIPE
    )
    sock_transport: asyncio.Transport = client.__dict__["_transport"]
    sock_transport.pause_reading()
    guest = served.gate.guests[0]
    seen = -1

    def settled() -> bool:
        nonlocal seen
        before, seen = seen, guest.meter.sent.total
        return before == seen > 0

    for _ in range(3):
        await asyncio.sleep(0.3)
        await until(settled)
    (endpoint,) = served.host.__dict__["_endpoints"]
    assert endpoint.wire.__dict__["_transport"].get_write_buffer_size() < 2 * MIB
    assert guest.meter.sent.total < 32 * MIB  # kernel buffers and ours
    process.close()
    client.abort()


async def run_dbclient(served: Served, command: str, stdin: bytes = b"") -> Ran:
    key = served.directory / "dropbear"
    if not key.exists():
        await run(["dropbearkey", "-t", "ed25519", "-f", str(key)])
    return await run(
        ["dbclient", "-y", "-y", "-i", str(key), "-p", str(served.port), "me@127.0.0.1", command],
        stdin, HOME=str(served.directory),
    )  # fmt: skip


async def test_dropbear(served: Served) -> None:
    data = os.urandom(2 * MIB)
    result = await run_dbclient(served, "cat; exit 9", data)
    assert (result.status, result.out) == (9, data)


async def test_paramiko(served: Served) -> None:
    def use() -> tuple[int, bytes, bytes]:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(
            "127.0.0.1", served.port, "me", key_filename=str(served.key), allow_agent=False,
            look_for_keys=False,
        )  # fmt: skip
        _, out, err = client.exec_command("head -c 3000000 /dev/zero; echo e >&2; exit 6")
        data, errors = out.read(), err.read()
        status = out.channel.recv_exit_status()
        client.close()
        return status, data, errors

    status, data, errors = await asyncio.to_thread(use)
    assert (status, len(data), errors) == (6, 3_000_000, b"e\n")


async def test_cancelling_an_unknown_listener_is_only_refused(served: Served) -> None:
    def use() -> bytes:
        with socket.create_connection(("127.0.0.1", served.port)) as sock:
            transport = paramiko.Transport(sock)
            transport.start_client()
            transport.auth_publickey("me", paramiko.Ed25519Key(filename=str(served.key)))
            assert transport.global_request("cancel-tcpip-forward", ("localhost", 4711)) is None
            channel = transport.open_session()
            channel.exec_command("echo alive")
            data = channel.makefile("rb").read()
            transport.close()
            return data

    assert await asyncio.to_thread(use) == b"alive\n"
