"""Commands: status, signals, streams, ends, and nothing lost on the way."""

# pyright: reportPrivateUsage=false

import asyncio
import hashlib
import os
import shlex
import signal
from pathlib import Path

import asyncssh
import pytest
from asyncssh.channel import SSHClientChannel
from asyncssh.constants import MSG_REQUEST_SUCCESS
from asyncssh.packet import SSHPacket

from tests.network.ssh.conftest import Ran, Served, run, start, until
from uptui.host.sshd.sessions.pump import USUAL_PIPE

MIB = 1024 * 1024


async def connect(served: Served, **options: str) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        "127.0.0.1",
        served.port,
        username="me",
        client_keys=[str(served.key)],
        known_hosts=None,
        config=None,
        **options,
    )


async def shell(script: str) -> Ran:
    """Run a line of bash, whose status is that of the last program that failed."""
    return await run(["bash", "-o", "pipefail", "-c", script])


async def _send(stdin: asyncio.StreamWriter, data: bytes) -> None:
    stdin.write(data)
    await stdin.drain()


async def test_every_exit_status_arrives(served: Served) -> None:
    async with await connect(served) as client:
        for status in range(256):
            assert (await client.run(f"exit {status}")).exit_status == status


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "HUP"])
async def test_a_signal_arrives_by_name(served: Served, name: str) -> None:
    async with await connect(served) as client:
        result = await client.run(f"kill -{name} $$")
        assert result.exit_signal is not None
        assert result.exit_signal[0] == name
    assert (await served.ssh(f"kill -{name} $$")).status == 255


async def test_the_status_arrives_though_both_streams_ended_before(served: Served) -> None:
    """OpenSSH then closes the channel first, and still expects the status."""
    socket = served.directory / "mux"
    master = await start(served.command("-M", "-N", "-S", str(socket)))
    await until(socket.exists)
    try:
        result = await served.ssh("-S", str(socket), "--", "exec >&- 2>&-; sleep 0.3; exit 9")
        assert result.status == 9
        for _ in range(50):
            assert (await served.ssh("-S", str(socket), "--", "true")).status == 0
    finally:
        master.kill()
        await master.communicate()


async def test_output_that_nobody_reads_ends_the_program_that_writes_it(served: Served) -> None:
    """As in `ssh host 'cat /dev/zero' | head`; what else was asked for goes on."""
    ssh = served.command("cat /dev/zero; exit $(($? - 100))")
    result = await shell(f"{shlex.join(ssh)} | head -c 100")
    assert result == Ran(128 + signal.SIGPIPE - 100, bytes(100), b"")


async def test_a_shared_connection_gets_the_status_of_a_program_whose_output_nobody_reads(
    served: Served,
) -> None:
    """OpenSSH closes such a channel at once when its own input has ended, too."""
    socket, after = served.directory / "mux", served.directory / "after"
    master = await start(served.command("-M", "-N", "-S", str(socket)))
    await until(socket.exists)
    try:
        script = f"cat /dev/zero; sleep 1; yes >&2 & sleep 0.2; kill $!; touch {after}; exit 5"
        ssh = served.command("-n", "-S", str(socket), "--", script)
        assert (await shell(f"{shlex.join(ssh)} | head -c 1")).status == 5
        assert after.exists()
        assert (await served.ssh("-S", str(socket), "--", "exit 6")).status == 6
    finally:
        master.kill()
        await master.communicate()


@pytest.mark.parametrize("waits", [True, False])
async def test_what_is_unread_from_the_start(served: Served, waits: bool) -> None:
    """No client known says so before there was any output, but one may."""
    if waits:
        served.gate.decision = asyncio.get_running_loop().create_future()
    async with await connect(served) as client:
        process = await client.create_process("cat /dev/zero; exit $(($? - 100))", encoding=None)
        process.channel._send_request(b"eow@openssh.com")
        process.channel._send_request(b"eow@openssh.com")
        if served.gate.decision is not None:
            await asyncio.sleep(0.1)
            served.gate.decision.set_result(served.gate.grant)
        assert (await process.wait()).exit_status == 128 + signal.SIGPIPE - 100


async def test_a_program_on_a_terminal_goes_on_when_nobody_reads(served: Served) -> None:
    ssh = served.command("-tt", "--", "seq 100000; sleep 0.2; exit 5")
    assert (await shell(f"{shlex.join(ssh)} | head -c 100")).status == 5


async def test_openssh_is_told_when_a_program_closes_its_input(served: Served) -> None:
    """It reads no more of its own from then on."""
    command = served.command("exec <&-; sleep 0.5; exit 6", log="DEBUG1")
    result = await run(command, stdin=bytes(MIB))
    assert result.status == 6
    assert b"rtype eow@openssh.com" in result.err


async def test_other_clients_are_not_told_what_they_may_not_know(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def take(channel: SSHClientChannel[bytes], packet: SSHPacket) -> bool:
        del packet
        told.append(str(channel.get_connection().get_extra_info("client_version")))
        return True

    request = "_process_eow_at_openssh_dot_com_request"
    monkeypatch.setattr(SSHClientChannel, request, take, raising=False)
    for name in ("OpenSSH_9.9", "other_1.0"):
        client = await connect(served, client_version=name)
        async with client, client.create_process("exec <&-; sleep 0.5", encoding=None) as process:
            process.stdin.write(bytes(MIB))
            await process.wait()
    assert told == ["SSH-2.0-OpenSSH_9.9"]


async def test_no_more_sessions_means_none(served: Served) -> None:
    """OpenSSH's client says so once it has its own: whoever gets hold of it later opens none."""
    async with await connect(served) as client:
        process = await client.create_process("cat")
        answer = await client._make_global_request(b"no-more-sessions@openssh.com")
        assert answer[0] == MSG_REQUEST_SUCCESS
        process.stdin.write("on\n")
        assert await process.stdout.readline() == "on\n"
        with pytest.raises(asyncssh.Error):
            await client.run("true")
        await client.wait_closed()


async def test_stderr_stays_apart(served: Served) -> None:
    result = await served.ssh("echo out; echo err >&2; exit 3")
    assert (result.status, result.out, result.err) == (3, b"out\n", b"err\n")


async def test_quoting_is_untouched(served: Served) -> None:
    result = await served.ssh("""printf '%s|' "a  b" '$HOME' \\" 'ä€'""")
    assert result.out == 'a  b|$HOME|"|ä€|'.encode()


async def test_a_command_that_is_not_utf8(served: Served) -> None:
    command = [part.encode() for part in served.command()]
    process = await asyncio.create_subprocess_exec(
        *command, b"printf '\xff\xfe'", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"\xff\xfe"


async def test_stdin_reaches_its_end(served: Served) -> None:
    data = os.urandom(300_000)
    result = await served.ssh("sha256sum", stdin=data)
    assert result.out.split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_64_mib_come_back(served: Served) -> None:
    data = os.urandom(64 * MIB)
    result = await served.ssh("cat", stdin=data)
    assert result.status == 0
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(data).digest()


async def test_a_command_may_close_its_stdin_early(served: Served) -> None:
    async with await connect(served) as client:
        for _ in range(5):
            result = await client.run("head -c 10", input=b"x" * 3 * MIB, encoding=None)
            assert result.stdout == b"x" * 10
            assert result.exit_status == 0
        assert (await client.run("echo alive")).stdout == "alive\n"


async def test_huge_output_then_exit_loses_nothing(served: Served, tmp_path: Path) -> None:
    source = tmp_path / "random"
    source.write_bytes(os.urandom(64 * MIB))
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    for _ in range(20):
        command = shlex.join(served.command("--", f"cat {source}; exit 5"))
        process = await asyncio.create_subprocess_shell(
            f"{{ {command}; echo $? >{tmp_path}/status; }} | sha256sum",
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert out.split()[0].decode() == expected
        assert (tmp_path / "status").read_text() == "5\n"


async def test_output_of_a_quick_command_is_whole(served: Served) -> None:
    async with await connect(served) as client:
        for size in (1, 4095, 65536, 65537, 200_000, 1_000_000):
            result = await client.run(f"head -c {size} /dev/zero", encoding=None)
            assert len(result.stdout or b"") == size


async def test_a_slow_reader_stops_the_command_and_no_other(served: Served) -> None:
    async with await connect(served) as client:
        slow = await client.create_process("yes | head -c 20000000", encoding=None)
        for _ in range(3):
            assert (await client.run("echo quick")).stdout == "quick\n"
        total = 0
        while data := await slow.stdout.read(65536):
            total += len(data)
        assert total == 20_000_000


async def test_fifty_channels_do_not_block_each_other(served: Served) -> None:
    async with await connect(served) as client:
        waiting = [await client.create_process("read line; echo got $line") for _ in range(49)]
        assert (await client.run("echo first")).stdout == "first\n"
        for number, process in enumerate(waiting):
            process.stdin.write(f"{number}\n")
        for number, process in enumerate(waiting):
            assert (await process.wait()).stdout == f"got {number}\n"


async def test_an_unknown_subsystem_is_refused(served: Served) -> None:
    result = await served.ssh("-s", "--", "nonsense")
    assert result.status == 255
    assert b"subsystem request failed" in result.err


async def test_what_a_command_left_behind_survives_the_client(
    served: Served, tmp_path: Path
) -> None:
    """VS Code's exec server: started from a script on stdin, in the background, stdin /dev/null."""
    alive = tmp_path / "alive"
    script = f"(sleep 2; touch {alive}) < /dev/null > /dev/null 2>&1 &\necho started\n"
    process = await start(served.command("-T", "--", "bash"))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(script.encode())
    await process.stdin.drain()
    assert await process.stdout.readline() == b"started\n"
    process.kill()
    await process.wait()
    await until(alive.exists)


async def test_signals_reach_the_command(served: Served) -> None:
    async with await connect(served) as client:
        process = await client.create_process(
            "trap 'echo int; exit 4' INT; echo on; sleep 20 & wait"
        )
        assert await process.stdout.readline() == "on\n"
        process.send_signal("INT")
        result = await process.wait()
        assert (result.stdout, result.exit_status) == ("int\n", 4)


async def test_bytes_are_counted_for_the_guest(served: Served) -> None:
    process = await start(served.command("--", "cat; sleep 20"))
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x" * 5000)
    await process.stdin.drain()
    await process.stdout.readexactly(5000)
    guest = served.gate.guests[0]
    (channel,) = guest.report().channels
    assert (channel.kind, channel.detail) == ("exec", "cat; sleep 20")
    assert (channel.received, channel.sent) == (5000, 5000)
    assert (guest.meter.received.total, guest.meter.sent.total) == (5000, 5000)
    assert guest.report().cipher
    assert guest.report().kex
    process.kill()
    await process.wait()
    await until(lambda: served.gate.gone != [])
    assert len(served.gate.gone) == 1


async def test_who_runs_a_command_is_at_work(served: Served) -> None:
    """What merely is connected, or has a shell open and types nothing, is not."""
    async with await connect(served) as client:
        await until(lambda: served.gate.guests != [])
        guest = served.gate.guests[0]
        assert not guest.presence().busy
        shell = await client.create_process(term_type="xterm")
        before = guest.presence().last_activity
        shell.stdin.write("echo ready\n")
        await until(lambda: guest.presence().last_activity > before)
        assert not guest.presence().busy
        command = await client.create_process("sleep 60")
        await until(lambda: guest.presence().busy)
        command.close()
        await until(lambda: not guest.presence().busy)


async def test_a_command_without_pty_has_no_terminal(served: Served) -> None:
    result = await served.ssh("tty; test -e /dev/tty && echo x < /dev/tty")
    assert b"not a tty" in result.out


async def test_uploads_one_after_another_are_whole(served: Served) -> None:
    data = os.urandom(32 * MIB)
    expected = hashlib.sha256(data).hexdigest().encode()
    for _ in range(12):
        result = await served.ssh("sha256sum", stdin=data)
        assert result.out.split()[0] == expected


async def test_a_command_that_does_not_read_holds_back_its_client(served: Served) -> None:
    """Also when much was sent before the command had started."""
    served.gate.decision = asyncio.get_running_loop().create_future()
    process = await start(served.command("--", "sleep 1.5; wc -c"))
    assert process.stdin is not None
    sending = asyncio.create_task(process.communicate(bytes(24 * MIB)))
    await until(lambda: served.gate.asked != [])
    await asyncio.sleep(0.3)
    served.gate.decision.set_result(served.gate.grant)
    await asyncio.sleep(1.0)
    (channel,) = served.gate.guests[0].report().channels
    assert 0 < channel.received < 8 * MIB
    out, _ = await sending
    assert out.split() == [str(24 * MIB).encode()]


async def test_a_command_that_reads_slowly_is_not_overrun(served: Served) -> None:
    """It pauses and resumes its client again and again; what was not read stays with the client."""
    process = await start(
        served.command(
            "--", "for i in 1 2 3 4 5 6 7 8; do head -c 700000; sleep 0.1; done; sleep 9"
        )
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sending = asyncio.create_task(_send(process.stdin, bytes(32 * MIB)))
    read = 0
    while read < 8 * 700_000:
        read += len(await process.stdout.read(1 << 16))
    (channel,) = served.gate.guests[0].report().channels
    assert channel.received < 8 * 700_000 + 3 * MIB
    await asyncio.sleep(0.3)
    (endpoint,) = served.host.__dict__["_endpoints"]
    open_channels = endpoint.wire.__dict__["_channels"].values()
    held = [sum(len(data) for data, _ in one.__dict__["_recv_buf"]) for one in open_channels]
    assert max(held) <= 2 * MIB
    process.kill()
    await process.wait()
    sending.cancel()


async def test_only_a_pipe_found_full_is_enlarged(served: Served) -> None:
    """A user has but a share of pipe memory."""
    size = "python3 -c 'import fcntl; print(fcntl.fcntl(1, fcntl.F_GETPIPE_SZ))'"
    async with await connect(served) as client:
        assert (await client.run(size)).stdout == f"{USUAL_PIPE}\n"
        result = await client.run(f"head -c 4000000 /dev/zero; {size}", encoding=None)
        assert result.stdout is not None
        assert int(result.stdout[4000000:]) > USUAL_PIPE
