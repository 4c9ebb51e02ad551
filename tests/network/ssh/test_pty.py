"""Terminals: a real controlling terminal with the client's size and modes, as sshd gives it."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from asyncssh.packet import String, UInt32

from tests.network.ssh.conftest import Served, Server, until
from tests.network.ssh.terminal import Window, window
from uptui.host.process.pty import Size
from uptui.host.sshd.settings import SSHSettings

PROMPT = "$ "


@pytest.fixture
async def bash(server: Server) -> Served:
    (server.directory / ".bash_profile").write_text(f"PS1='{PROMPT}'\nPROMPT_COMMAND=\n")
    return await server.serve(SSHSettings(shell="/bin/bash"))


async def test_a_login_shell_with_its_own_terminal(bash: Served) -> None:
    async with window(bash) as shell:
        await shell.expect(PROMPT)
        shell.type(
            "echo [$0] [$SSH_TTY] [$(tty)] [$-] [$TERM]; stty size; ps -o stat= -p $$ | tr -d N\n"
        )
        await shell.expect("[-bash] [/dev/pts/")
        line = await shell.expect("33 91")
        tty = line.split(b"]")[0].decode()
        assert f"[/dev/pts/{tty}] [".encode() in line
        assert b"i" in line.split(b"[")[2]
        assert b"[xterm-256color]" in line
        await shell.expect("Ss")  # session leader with a controlling terminal
        shell.type("exit 5\n")
        assert (await shell.ended()).code == 5


async def test_resizes_reach_the_program(bash: Served) -> None:
    async with window(
        bash, "--", "trap 'stty size' WINCH; echo on; while :; do sleep 0.1; done"
    ) as top:
        await top.expect("on")
        top.pty.resize(Size(132, 50))
        await top.expect("50 132")


async def test_keys_signal_the_foreground_job(bash: Served) -> None:
    async with window(bash) as shell:
        await shell.expect(PROMPT)
        job = r"""trap "echo ba\"\"ck" CONT; sleep 20 & echo u""p; while :; do wait; done"""
        shell.type(f"sh -c '{job}'\n")
        await shell.expect("up\r\n")
        shell.type("\x1a")
        await shell.expect("Stopped")
        await shell.expect(PROMPT)
        shell.type("fg\n")
        await shell.expect("back\r\n")  # bash tells it to go on once it has the terminal
        shell.type("\x03")
        await shell.expect(PROMPT)
        shell.type("echo status=$?\n")
        await shell.expect("status=130")
        shell.type('echo re""ady; cat\n')
        await shell.expect("ready\r\n")
        shell.type("line\n")
        await shell.expect("line\r\nline")
        shell.type("\x04")
        shell.type("exit\n")
        await shell.expect("exit")
        await shell.ended()


@pytest.mark.parametrize(
    ("mode", "shown"),
    [("-echo", "-echo "), ("echo", " echo "), ("iutf8", " iutf8"), ("-iutf8", "-iutf8"),
     ("intr ^T", "intr = ^T"), ("-onlcr", "-onlcr"), ("-ixon", "-ixon")],
)  # fmt: skip
async def test_modes_travel_from_the_clients_terminal(bash: Served, mode: str, shown: str) -> None:
    async with window(bash, "--", "stty -a; echo done", stty=mode) as screen:
        modes = await screen.expect("done")
    assert shown.encode() in b" ".join(modes.split()) + b" "


async def test_pty_for_a_command(bash: Served) -> None:
    result = await bash.ssh("-tt", "--", "tty; exit 4", stdin=None)
    assert result.status == 4
    assert result.out.startswith(b"/dev/pts/")


async def test_who_lets_go_of_the_terminal_is_not_hung_up_on(bash: Served) -> None:
    letting_go = "exec <&- >&- 2>&-; sleep 0.3; exit 7"
    assert (await bash.ssh("-tt", "--", letting_go, stdin=None)).status == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a terminal to another group")
async def test_the_terminal_is_open_to_write_and_wall(bash: Served) -> None:
    result = await bash.ssh("-tt", "--", "stat -c '%G %a' $(tty)", stdin=None)
    assert result.out.strip() == b"tty 620"


async def ask_for_terminal(served: Served, term: bytes, modes: bytes) -> tuple[bool, bytes]:
    """Whether a terminal asked for by hand is given, and what the program in it then says."""
    async with asyncssh.connect(
        "127.0.0.1", served.port, username="me", known_hosts=None, config=None,
        client_keys=[str(served.key)], agent_path=None,
    ) as client:  # fmt: skip
        channel = cast("Any", asyncssh.channel.SSHClientChannel)(
            client, asyncio.get_running_loop(), None, None, "strict", 1 << 20, 1 << 15
        )
        said = bytearray()

        class Session(asyncssh.SSHClientSession[bytes]):
            def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
                said.extend(data)

        await channel._open(b"session")
        channel._session = Session()
        size = UInt32(91) + UInt32(33) + UInt32(0) + UInt32(0)
        given = await channel._make_request(b"pty-req", String(term), size, String(modes))
        await channel._make_request(b"exec", String("echo =$TERM=; stty size; stty -a; echo done"))
        channel.resume_reading()
        await until(lambda: b"done" in said or channel.is_closing())
        return given, bytes(said)


@pytest.mark.parametrize("term", ["xtérm", "dumb"])
async def test_any_term_and_modes_cut_short_are_taken(bash: Served, term: str) -> None:
    no_echo, cut = bytes([53, 0, 0, 0, 0]), bytes([30, 0, 0])
    given, said = await ask_for_terminal(bash, term.encode(), no_echo + cut)
    assert given
    assert f"={term}=".encode() in said
    assert b"33 91" in said
    assert b" -echo " in said.replace(b"\r\n", b" ")


async def test_a_paste_of_40_kb_arrives(bash: Served, tmp_path: Path) -> None:
    pasted = tmp_path / "pasted"
    lines = "".join(f"{number:07d}\n" for number in range(5000))
    async with window(bash, "--", f"stty -echo; echo on; cat > {pasted}; echo got") as shell:
        await shell.expect("on")
        shell.type(lines + "\x04")
        await shell.expect("got")
    assert pasted.read_text() == lines


async def test_utf8_passes(bash: Served) -> None:
    async with window(bash, "--", 'read x; echo "=$x="') as shell:
        shell.type("grüße 🚀\n")
        await shell.expect("=grüße 🚀=")


async def test_sessions_have_separate_terminals(bash: Served) -> None:
    """Also those of one connection; what is typed in one is not seen in the other."""
    control = f"-oControlPath={bash.directory}/cm"
    asks = ("--", "tty; read x; echo [$x]")
    async with contextlib.AsyncExitStack() as stack:
        shells: list[Window] = []
        devices: set[bytes] = set()
        for option in (f"{control} -M", control, "-oControlPath=none"):
            shell = await stack.enter_async_context(window(bash, *option.split(), *asks))
            await shell.expect("/dev/pts/")
            devices.add(await shell.expect("\r\n"))
            shells.append(shell)
        assert len(devices) == 3
        for number, shell in enumerate(reversed(shells)):
            shell.type(f"{number}\n")
            assert await shell.expect(f"[{number}]") == f"{number}\r\n".encode()
    assert len(bash.gate.guests) == 2


async def test_full_screen_programs(bash: Served, tmp_path: Path) -> None:
    note = tmp_path / "note"
    async with window(bash, "--", f"vim.tiny -u NONE {note}") as editor:
        await editor.expect("\x1b[")
        editor.type("ihello\x1b:wq\r")
        assert (await editor.ended()).code == 0
    assert note.read_text() == "hello\n"
    async with window(bash, "--", f"nano {tmp_path}/other") as editor:
        await editor.expect("New File")
        editor.type("text\x18y\r")
        assert (await editor.ended()).code == 0
    assert (tmp_path / "other").read_text() == "text\n"
    async with window(bash, "--", "htop") as top:
        await top.expect("CPU")
        top.type("q")
        assert (await top.ended()).code == 0
    async with window(
        bash, "--", f"tmux -S {tmp_path}/t -f /dev/null new 'echo in$((1+1)); read x'"
    ) as mux:
        await mux.expect("in2")
        mux.type("\n")
        await mux.expect("[exited]")


async def test_a_vanished_client_hangs_up_on_the_shell(bash: Served, tmp_path: Path) -> None:
    told = tmp_path / "told"
    async with window(
        bash, "--", f"trap 'touch {told}; exit' HUP; echo on; while :; do sleep 0.1; done"
    ) as w:
        await w.expect("on")
        os.kill(w.pty.pid, signal.SIGKILL)
        await until(told.exists)


async def test_the_end_of_a_huge_output_is_shown(bash: Served) -> None:
    result = await bash.ssh("-tt", "--", "stty -opost; seq 1 200000; exit 6", stdin=None)
    assert result.status == 6
    assert result.out == "".join(f"{number}\n" for number in range(1, 200001)).encode()


async def test_notices_are_shown_in_terminals_only(bash: Served) -> None:
    async with window(bash, "--", "echo on; read x") as shell:
        await shell.expect("on")
        bash.gate.guests[0].notify("lunch\x1b[2J in five minutes")
        await shell.expect("[uptui] lunch [2J in five minutes")


async def test_a_kick_says_why(bash: Served) -> None:
    async with window(bash, "--", "echo on; read x") as shell:
        await shell.expect("on")
        bash.gate.guests[0].disconnect("see you tomorrow")
        await shell.expect("see you tomorrow")
        await shell.ended()
    await until(lambda: len(bash.gate.gone) == 1)
