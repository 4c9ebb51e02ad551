"""Forwards by OpenSSH's client: -L, -R, -D, -W, Unix sockets, refusals, half-close, live roles."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from tests.network.files.host import Running
from tests.ports import free_port
from uptui.core.roles import DEVELOPER, Capability

DEADLINE = 60.0
BULK = 20_000_003

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, then end."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
    writer.close()


async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read to the end, only then answer with the digest: needs half-close."""
    sha = hashlib.sha256()
    while data := await reader.read(65536):
        sha.update(data)
    writer.write(sha.hexdigest().encode())
    writer.close()


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncGenerator[int]:
    server = await asyncio.start_server(handler, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def ssh(box: Running, *args: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """An `ssh -N` with these forwards, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *box.ssh("-N", "-o", "ExitOnForwardFailure=yes", *args, "box"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=box.env,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


async def dial(
    port: int, host: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, waiting until somebody listens."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.02)


async def dial_path(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.02)


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
) -> bytes:
    """Send `data` and EOF while reading to the other side's EOF."""

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(DEADLINE):
        _, answer = await asyncio.gather(send(), reader.read())
    writer.close()
    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_local_forward_reaches_localhost_on_either_family(box: Running, host: str) -> None:
    data = os.urandom(BULK)
    port = free_port()
    async with serving(echo, host) as target, ssh(box, "-L", f"{port}:localhost:{target}"):
        assert await exchange(*await dial(port), data) == data
    forward = box.gate.guests[0].report().forwards[0]
    assert (forward.direction, forward.target) == ("local", f"localhost:{target}")
    assert (forward.connections, forward.total_connections) == (0, 1)
    assert (forward.received, forward.sent) == (BULK, BULK)


async def test_who_has_a_tunnel_open_is_at_work(box: Running) -> None:
    port = free_port()
    async with serving(echo) as target, ssh(box, "-L", f"{port}:localhost:{target}"):
        _, writer = await dial(port)
        guest = box.gate.guests[0]
        await until(lambda: guest.presence().busy)
        writer.close()
        await until(lambda: not guest.presence().busy)


async def test_half_close(box: Running) -> None:
    data = os.urandom(BULK)
    port = free_port()
    async with serving(digest) as target, ssh(box, "-L", f"{port}:127.0.0.1:{target}"):
        answer = await exchange(*await dial(port), data)
    assert answer.decode() == hashlib.sha256(data).hexdigest()


async def test_remote_forward_with_half_close_and_release(box: Running) -> None:
    data = os.urandom(BULK)
    port = free_port()
    async with serving(digest) as target:
        async with ssh(box, "-R", f"{port}:127.0.0.1:{target}"):
            answer = await exchange(*await dial(port), data)
            assert answer.decode() == hashlib.sha256(data).hexdigest()
            assert (await exchange(*await dial(port, "::1"), b"six"))[:4].isalnum()
            forward = box.gate.guests[0].report().forwards[0]
            assert (forward.direction, forward.listen) == ("remote", f"localhost:{port}")
            assert forward.total_connections == 2
        with socket.socket() as sock:
            await until(lambda: sock.connect_ex(("127.0.0.1", port)) != 0)


async def test_remote_port_zero_tells_the_port(box: Running) -> None:
    async with serving(echo) as target:
        process = await asyncio.create_subprocess_exec(
            *box.ssh("-o", "LogLevel=INFO", "-R", f"0:127.0.0.1:{target}", "box", "cat"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=box.env,
        )
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            line = await process.stderr.readline()
        port = int(line.split(b"Allocated port ")[1].split()[0])
        assert await exchange(*await dial(port), b"hello") == b"hello"
        await process.communicate(b"")
        assert process.returncode == 0


async def test_taken_port_is_refused(box: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = await box.run(
            *box.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", f"{port}:localhost:1", "box")
        )
    assert result.code == 255
    assert b"remote port forwarding failed for listen port" in result.err
    assert box.gate.events("forward.failed")[0].text.endswith("Address already in use")


async def test_ports_and_paths_that_there_are_not_are_refused(box: Running) -> None:
    """The system takes 65536 more for the same port, and a path with a NUL for a shorter one."""
    port, path = free_port(), str(box.directory / "sock")
    async with asyncssh.connect(
        "127.0.0.1", box.port, username="someone", client_keys=[str(box.key)], known_hosts=None,
        config=None,
    ) as client:  # fmt: skip
        with pytest.raises(asyncssh.ChannelListenError):
            await client.forward_remote_port("localhost", 65536 + port, "localhost", 1)
        for named in (f"{path}\0x", f"\0{path}"):
            with pytest.raises(asyncssh.ChannelListenError):
                await client.forward_remote_path(named, path)
    assert "there is no port" in box.gate.events("forward.failed")[0].text
    assert not Path(path).exists()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_stdio_forward_and_what_cannot_be_reached(box: Running) -> None:
    async with serving(echo) as target:
        out = await box.ok(*box.ssh("-W", f"localhost:{target}", "box"), stdin=b"through")
    assert out == b"through"
    refused = await box.run(
        *box.ssh("-o", "LogLevel=INFO", "-W", f"127.0.0.1:{free_port()}", "box")
    )
    assert refused.code == 255
    assert b"open failed: connect failed: Connection refused" in refused.err
    # TCP reaches no multicast address, whatever routes this machine has
    unreachable = await box.run(*box.ssh("-o", "LogLevel=INFO", "-W", "224.0.0.1:80", "box"))
    assert unreachable.code == 255
    assert b"open failed: connect failed: Network is unreachable" in unreachable.err
    unknown = await box.run(*box.ssh("-o", "LogLevel=INFO", "-W", "no-such-host.invalid:80", "box"))
    assert b"open failed: connect failed: Name or service not known" in unknown.err


async def test_dynamic_forward(box: Running) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nthe page")
        writer.close()

    port = free_port()
    async with serving(page) as target, ssh(box, "-D", f"127.0.0.1:{port}"):
        _, writer = await dial(port)
        writer.close()
        url = f"http://localhost:{target}/"
        for scheme in ("socks5h", "socks4a"):
            out = await box.ok("curl", "-s", "-x", f"{scheme}://127.0.0.1:{port}", url)
            assert out == b"the page"


async def test_unix_sockets_both_ways(box: Running) -> None:
    d = box.directory
    data = os.urandom(BULK)
    server = await asyncio.start_unix_server(echo, d / "target")
    async with server:
        async with ssh(box, "-L", f"{d}/local:{d}/target", "-R", f"{d}/remote:{d}/target"):
            for name in ("local", "remote"):
                assert await exchange(*await dial_path(d / name), data) == data
            assert (d / "remote").stat().st_mode & 0o777 == 0o600
        await until(lambda: not (d / "remote").exists())


async def test_control_master_adds_and_cancels(box: Running) -> None:
    port, back = free_port(), free_port()
    control = ["-o", f"ControlPath={box.directory}/cm"]
    async with serving(echo) as target, ssh(box, *control, "-M"):
        await until((box.directory / "cm").exists)
        local, remote = f"{port}:localhost:{target}", f"{back}:localhost:{target}"
        for option, spec, listen in (("-L", local, port), ("-R", remote, back)):
            await box.ok(*box.ssh(*control, "-O", "forward", option, spec, "box"))
            assert await exchange(*await dial(listen), b"one") == b"one"
            await box.ok(*box.ssh(*control, "-O", "cancel", option, spec, "box"))
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", listen)
        assert await box.ok(*box.ssh(*control, "box", "echo", "alive")) == b"alive\n"


async def test_slow_reader_is_bounded_and_loses_nothing(box: Running) -> None:
    total = 64 * 1024 * 1024
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        del reader
        piece = b"\0" * 65536
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        writer.close()

    port = free_port()
    async with serving(flood) as target, ssh(box, "-L", f"{port}:localhost:{target}"):
        reader, writer = await dial(port)
        last = -1
        while sent != last:
            last = sent
            await asyncio.sleep(0.3)
        assert sent < total // 2
        async with asyncio.timeout(DEADLINE):
            received = len(await reader.read())
        writer.close()
    assert received == total


async def test_deny_list_and_lost_capability(box: Running) -> None:
    port = free_port()
    async with serving(echo) as target, ssh(box, "-L", f"{port}:localhost:{target}"):
        reader, writer = await dial(port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        box.gate.change_role(
            replace(DEVELOPER, name="tight", forward_deny=(f"127.*:{target}", f"[::1]:{target}"))
        )
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        refused = await box.run(*box.ssh("-o", "LogLevel=INFO", "-W", f"localhost:{target}", "box"))
        assert b"may not connect to" in refused.err
        assert b"administratively prohibited" in refused.err
    without = DEVELOPER.capabilities - {Capability.FORWARD_LOCAL, Capability.FORWARD_REMOTE}
    box.gate.change_role(replace(DEVELOPER, name="none", capabilities=without))
    refused = await box.run(*box.ssh("-o", "LogLevel=INFO", "-W", "localhost:80", "box"))
    assert b"administratively prohibited: your role here (none) may not" in refused.err
    remote = await box.run(
        *box.ssh("-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:80", "box")
    )
    assert remote.code == 255


async def test_listener_goes_with_the_capability(box: Running) -> None:
    port = free_port()
    async with serving(echo) as target, ssh(box, "-R", f"{port}:localhost:{target}"):
        assert await exchange(*await dial(port), b"in") == b"in"
        without = DEVELOPER.capabilities - {Capability.FORWARD_REMOTE}
        box.gate.change_role(replace(DEVELOPER, name="none", capabilities=without))
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_end_of_a_forward_is_on_record_with_what_went_over_it(box: Running) -> None:
    port, back = free_port(), free_port()
    async with serving(echo) as target:
        local, remote = f"{port}:localhost:{target}", f"{back}:localhost:{target}"
        async with ssh(box, "-L", local, "-R", remote):
            for _ in range(2):
                assert await exchange(*await dial(port), b"twelve bytes") == b"twelve bytes"
            assert await exchange(*await dial(back), b"in") == b"in"
    await until(lambda: len(box.gate.events("forward.closed")) == 2)
    ends = {note.data["direction"]: note for note in box.gate.events("forward.closed")}
    assert ends["local"].text == (
        f"no longer connects to localhost:{target}: 2 connections, 24 bytes up, 24 down"
    )
    assert ends["remote"].text.endswith(f":{back}: 1 connection, 2 bytes up, 2 down")
    counts = [ends["local"].data[name] for name in ("connections", "received", "sent")]
    assert counts == [2, 24, 24]


async def test_what_cannot_be_reached_is_on_record_once(box: Running) -> None:
    port, closed = free_port(), free_port()
    async with ssh(box, "-L", f"{port}:127.0.0.1:{closed}"):
        for _ in range(3):
            reader, writer = await dial(port)
            assert await reader.read() == b""
            writer.close()
    [note] = box.gate.events("forward.failed")
    assert note.text == f"cannot connect to 127.0.0.1:{closed}: Connection refused"
    assert not box.gate.events("forward.closed")  # nothing ever went over it
