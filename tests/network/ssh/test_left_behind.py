"""What a command leaves behind: its output is waited for as by sshd, and named while it is."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.network.ssh.conftest import Served, Server, run, start, until
from tests.network.ssh.test_exec import connect
from tests.network.sshd import Sshd, sshd
from uptui.host.sshd.settings import SSHSettings

LATE = "sleep 3.2"
"""Longer than anything here waits by itself."""


@pytest.fixture
def reference(tmp_path: Path) -> Generator[Sshd]:
    with sshd(tmp_path) as started:
        yield started


async def test_late_output_arrives_as_from_sshd(served: Served, reference: Sshd) -> None:
    commands = [
        f"setsid -f sh -c '{LATE}; echo RESULT'",
        f"({LATE}; echo the end) & echo started; exit 3",
        f"bash -c 'echo text | tee >({LATE}; tr a-z A-Z) > /dev/null'",
        f"(exec >&2; {LATE}; echo on stderr) & true",
        f"({LATE}; seq 200000 | tail -n 2) & kill -TERM $$",
    ]
    both = [run(at.command("--", command)) for at in (served, reference) for command in commands]
    results = await asyncio.gather(*both)
    ours, theirs = results[: len(commands)], results[len(commands) :]
    assert ours == theirs
    assert [result.out.split()[-1:] for result in ours] == [
        [b"RESULT"], [b"end"], [b"TEXT"], [], [b"200000"],
    ]  # fmt: skip


async def test_who_holds_the_output_is_named_and_the_status_is_told(served: Served) -> None:
    """sshd, too, sends the status at once: who only wants that goes on."""
    async with await connect(served) as client:
        process = await client.create_process("sleep 60 & echo $!; exit 4")
        pid = int(await process.stdout.readline())
        (guest,) = served.gate.guests
        await until(lambda: guest.report().channels[0].held_by != "")
        assert guest.report().channels[0].held_by == f"sleep (pid {pid})"
        text = f"sleep 60 & echo $!; exit 4 has ended; its output is held by sleep (pid {pid})"
        assert ("session.held", text) in served.gate.notes
        await until(lambda: process.exit_status == 4)
        assert not process.channel.is_closing()
        process.close()
        await run(["kill", str(pid)])


async def test_a_setting_cuts_and_says_so(server: Server, tmp_path: Path) -> None:
    served = await server.serve(SSHSettings(cut_output=0.5))
    alive = tmp_path / "alive"
    result = await served.ssh(f"({LATE}; echo late; touch {alive}) & echo now; exit 5")
    assert (result.status, result.out) == (5, b"now\n")
    assert not alive.exists()
    (cut,) = [text for event, text in served.gate.notes if event == "session.cut"]
    assert "has ended; its output is held by bash (pid" in cut
    assert cut.endswith(", and was cut: what they write is dropped")
    await until(alive.exists)  # and SIGPIPE did not end it
    soon = await served.ssh("(sleep 0.2; echo late) & echo now")
    assert soon.out == b"now\nlate\n"


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("{steps} > {log} 2>&1 < /dev/null", "8"),  # what needs no client goes on
        ("({steps}) > {log} 2>&1", "8"),
        ("cat > /dev/null; echo read >> {log}", "read"),  # who reads finds the end
        ("{steps} > {log}; echo x; echo no >> {log}", "8"),  # SIGPIPE ends who writes
        ("{steps} > {log}; yes; echo on >> {log}", "on"),
        ("trap 'echo hup >> {log}' HUP; {steps} > {log}", "8"),
    ],
)
async def test_a_client_that_vanishes_is_missed_as_by_sshd(
    served: Served, reference: Sshd, tmp_path: Path, command: str, end: str
) -> None:
    steps = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done"
    logs: list[Path] = []
    for name, at in (("ours", served), ("theirs", reference)):
        log = tmp_path / name
        script = command.replace("{log}", str(log)).replace("{steps}", steps)
        client = await start(at.command("--", f"echo 0 > {log}; echo on; {script}"))
        assert client.stdout is not None
        assert await client.stdout.readline() == b"on\n"
        client.kill()
        await client.communicate()
        logs.append(log)
    await until(lambda: all(log.read_text().split()[-1:] == [end] for log in logs))


BOOTSTRAPS = {
    "VS Code's server": 'sleep 60 &> "$LOG" < /dev/null & echo $!',
    "VS Code's exec server": 'sleep 60 > "$LOG" 2>&1 < /dev/null & echo $!',
    "open-remote-ssh": 'sleep 60 &> "$LOG" & echo $!',
    "Zed's server": "(sleep 60 < /dev/null > /dev/null 2>&1 & echo $!)",
    "JetBrains' backend": 'nohup sleep 60 > "$LOG" 2>&1 & echo $!',
}
"""How each leaves its server behind (tests/network/ides plays the whole of them): all three
descriptors are elsewhere, so that no channel waits for it."""


@pytest.mark.parametrize("editor", BOOTSTRAPS)
async def test_no_editor_needs_the_cut(served: Served, tmp_path: Path, editor: str) -> None:
    script = f"LOG={tmp_path}/log\n{BOOTSTRAPS[editor]}\n"
    process = await asyncio.wait_for(run(served.command("-T", "--", "bash"), script.encode()), 15)
    assert process.status == 0
    assert not [event for event, _ in served.gate.notes if event in {"session.held", "session.cut"}]
    assert (await run(["kill", process.out.decode().strip()])).status == 0
