"""OpenSSH clients at the shared terminal and in shells that outlive them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.ssh.conftest import Served, run
from tests.network.terminal.conftest import House
from tests.network.terminal.tty import Tty
from tests.network.terminal.viewers import until
from uptui.core.roles import DEVELOPER, PAIR, VIEWER
from uptui.errors import ApiError
from uptui.host.process.spawn import ExitStatus
from uptui.host.sshd.access_control import Grant, Landing


class Clients:
    """ssh in ttys of their own, all hung up on at the end."""

    def __init__(self) -> None:
        self._ttys: list[Tty] = []

    def ssh(self, served: Served, *arguments: str, columns: int = 80, rows: int = 24) -> Tty:
        argv = served.command(*arguments)
        tty = Tty(["/usr/bin/ssh", *argv[1:]], columns, rows)
        self._ttys.append(tty)
        return tty

    def close(self) -> None:
        for tty in self._ttys:
            if tty.status is None:
                tty.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


async def shows(tty: Tty, text: str) -> None:
    await until(lambda: text in tty.text, lambda: f"{text!r} in:\n{tty.text}")


async def ends(tty: Tty, status: ExitStatus) -> None:
    await until(lambda: tty.status == status, lambda: f"{tty.status}, not {status}:\n{tty.text}")


async def test_pair_and_viewer_share_one_terminal(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals())
    served.gate.grant = Grant("ann", PAIR)
    ann = clients.ssh(served)
    await shows(ann, "$")
    served.gate.grant = Grant("bob", VIEWER)
    bob = clients.ssh(served)
    ann.type("echo $((40+2)) $UPTUI_TERMINAL\r")
    await shows(bob, "\n42 shared")
    bob.type("echo wrong\r")
    await shows(bob, "you are watching")
    [terminal] = terminals.snapshot()
    assert (terminal.viewers, terminal.typists) == (2, 1)
    served.gate.guests[1].apply(Grant("bob", PAIR))
    bob.type("echo allowed\r")
    await shows(ann, "\nallowed")
    assert "\nwrong" not in ann.text
    bob.type("exit 3\r")
    await until(lambda: ann.status and bob.status)
    assert ann.status == bob.status == ExitStatus(code=3)
    await shows(ann, "the shared terminal has ended")


async def test_landing_sends_a_developer_to_the_shared_terminal(
    house: House, clients: Clients
) -> None:
    served = await house.serve(terminals := house.terminals(command=["cat", "-A"]))
    served.gate.grant = Grant("dev", DEVELOPER, Landing("shared"))
    dev = clients.ssh(served, columns=100, rows=30)
    dev.type("typed\r")
    await shows(dev, "typed$")
    [terminal] = terminals.snapshot()
    assert (terminal.kind, terminal.command, terminal.columns) == ("shared", "cat -A", 100)
    dev.type("\x04")
    await ends(dev, ExitStatus(code=0))
    again = clients.ssh(served)
    await until(lambda: again.status)
    assert "shared command has ended" in again.text


async def test_own_shells_are_apart(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals())
    one, two = clients.ssh(served), clients.ssh(served)
    one.type("x=1; echo one:$x:$SSH_TTY\r")
    two.type("echo two:$x:\r")
    await shows(one, "\none:1:/dev/pts/")
    await shows(two, "\ntwo::")
    one.resize(101, 31)
    one.type("stty size\r")
    await shows(one, "31 101")
    one.type("exit 5\r")
    two.type("exit\r")
    await until(lambda: one.status == ExitStatus(code=5) and two.status == ExitStatus(code=0))
    assert terminals.snapshot() == []


async def test_a_lost_client_finds_its_shell_again(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals())
    first = clients.ssh(served)
    (house.directory / "text").write_text("".join(f"line {n}\n" for n in range(90)))
    first.type("echo before; vim.tiny -u NONE text\r")
    await shows(first, "line 7")
    first.type("5jihello \x1b")
    await shows(first, "hello line 5")
    before = first.lines[:23]
    os.kill(first.pty.pid, 9)
    await until(terminals.snapshot, "the shell to be kept")
    [kept] = terminals.snapshot()
    assert kept.kind == "kept"
    assert kept.owner == "somebody"
    assert kept.ends_at is not None
    assert kept.detached_at is not None
    assert abs(kept.ends_at - kept.detached_at - 12 * 3600) < 5
    second = clients.ssh(served, "-t", "--", "uptui", "shells", columns=80, rows=24)
    await shows(second, "hello line 5")
    assert terminals.snapshot() == []
    await until(lambda: second.lines[:23] == before, lambda: second.text)
    second.type(":q!\r")
    await shows(second, "before")
    second.type("exit 4\r")
    await ends(second, ExitStatus(code=4))
    assert [event for event, _ in house.notes] == ["shell.kept", "shell.resumed"]


async def test_output_while_away_is_seen_on_return(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals())
    first = clients.ssh(served)
    await shows(first, "$")
    mark = house.directory / "mark"
    first.type(f"while [ ! -e {mark} ]; do sleep .1; done; seq 200000; echo all of it\r")
    await shows(first, "while")
    first.close()
    await until(terminals.snapshot, "the shell to be kept")
    mark.touch()
    second = clients.ssh(served, "-t", "--", "uptui shells 1", columns=60, rows=12)
    await shows(second, "\nall of it\n$")
    assert "\n199999\n200000\n" in second.text
    second.type("stty size\r")
    await shows(second, "12 60")


@pytest.mark.parametrize("first_line", ["\n", "y\n", "n", "1", "nproc > /dev/null\n"])
async def test_nothing_typed_is_taken_by_a_question(
    house: House, clients: Clients, first_line: str
) -> None:
    served = await house.serve(terminals := house.terminals())
    first = clients.ssh(served)
    await shows(first, "$")
    first.type("old=yes\r")
    await shows(first, "old=yes")
    first.close()
    await until(terminals.snapshot, "the shell to be kept")
    script = f"{first_line}\necho [$old]; exit 6\n"
    ran = await served.ssh("-tt", "--", stdin=script.encode())
    assert ran.status == 6
    assert b"\r\n[]\r\n" in ran.out
    word = first_line.strip()
    assert len(word) > 1 or not word or f"{word}: command not found".encode() in ran.out
    assert len(terminals.snapshot()) == 1


async def test_kept_shells_are_named_listed_and_taken_up_by_number(
    house: House, clients: Clients
) -> None:
    served = await house.serve(terminals := house.terminals())
    nothing = await served.ssh("uptui", "shells")
    assert (nothing.status, nothing.out) == (1, b"No shell of yours is kept.\n")
    for name in ("one", "two"):
        tty = clients.ssh(served)
        await shows(tty, "$")
        tty.type(f"mine={name}\r")
        await shows(tty, f"mine={name}")
        os.kill(tty.pty.pid, 9)
        count = 1 if name == "one" else 2
        await until(lambda count=count: len(terminals.snapshot()) == count)
    new = clients.ssh(served)
    await shows(new, "[uptui] 2 shells of yours are kept, see ssh -t NAME uptui shells")
    await shows(new, "\n$")
    assert not set("#$%>") & set(new.lines[0])
    for asked in ("uptui shells", "uptui shells 3"):
        listed = await served.ssh("-tt", "--", asked)
        assert listed.status == 0
        assert [line[:7] for line in listed.out.split(b"\r\n")[:2]] == [b"1  left", b"2  left"]
    older = clients.ssh(served, "-t", "--", "uptui", "shells", "2")
    older.type("echo [$mine]; exit\r")
    await shows(older, "[one]")
    left = await served.ssh("-tt", "--", "uptui shells", stdin=b"echo [$mine]; exit 3\n")
    assert left.status == 3
    assert b"[two]" in left.out
    other = await served.ssh("uptui --version; echo mine")
    assert other.out.endswith(b"mine\n")  # every other command is the shell's


async def test_a_dumb_terminal_is_told_nothing_and_not_kept(house: House, clients: Clients) -> None:
    """Such as TRAMP's."""
    served = await house.serve(terminals := house.terminals())
    first = clients.ssh(served)
    await shows(first, "$")
    first.close()
    await until(terminals.snapshot, "the shell to be kept")
    dumb = Tty(["/usr/bin/ssh", *served.command()[1:]], TERM="dumb")
    await shows(dumb, "$")
    assert dumb.lines[0] == "$"
    dumb.type("echo pid:$$:\r")
    await shows(dumb, "\npid:")
    pid = int(dumb.text.split("\npid:")[1].split(":")[0])
    dumb.close()
    await until(lambda: not Path(f"/proc/{pid}").exists())
    assert len(terminals.snapshot()) == 1


async def test_only_the_same_identity_is_offered_the_shell(
    house: House, clients: Clients, tmp_path: Path
) -> None:
    served = await house.serve(terminals := house.terminals())
    first = clients.ssh(served)
    await shows(first, "$")
    first.close()
    await until(terminals.snapshot, "the shell to be kept")
    served.key.rename(tmp_path / "other")
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(served.key)]
    assert (await run(made)).status == 0
    served.key.chmod(0o600)
    second = clients.ssh(served)
    await shows(second, "$")
    assert "kept" not in second.text


async def test_kept_shells_are_limited_and_can_be_ended(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals(max_kept=2))
    for number in range(3):
        tty = clients.ssh(served)
        await shows(tty, "$")
        tty.close()
        kept = [("shell.kept", "somebody's shell is kept for 12 h")] * (number + 1)
        await until(
            lambda kept=kept: [note for note in house.notes if note[0] == "shell.kept"] == kept
        )
    await until(lambda: len(terminals.snapshot()) == 2)
    ids = [terminal.id for terminal in terminals.snapshot()]
    assert ids == ["shell-2", "shell-3"]
    terminals.end("shell-2")
    await until(lambda: [each.id for each in terminals.snapshot()] == ["shell-3"])
    with pytest.raises(ApiError, match="No such terminal"):
        terminals.end("shell-2")


async def test_grace_ends_a_kept_shell(house: House, clients: Clients) -> None:
    served = await house.serve(terminals := house.terminals(grace=0.3))
    tty = clients.ssh(served)
    await shows(tty, "$")
    tty.type("echo pid:$$:\r")
    await shows(tty, "\npid:")
    pid = int(tty.text.split("\npid:")[1].split(":")[0])
    tty.close()
    await until(lambda: any(event == "shell.kept" for event, _ in house.notes))
    await until(lambda: not terminals.snapshot())
    assert not Path(f"/proc/{pid}").exists()


async def test_a_demoted_developer_loses_the_shell_and_hears_why(
    house: House, clients: Clients
) -> None:
    served = await house.serve(terminals := house.terminals())
    tty = clients.ssh(served)
    await shows(tty, "$")
    served.gate.guests[0].apply(Grant("dev", VIEWER))
    await until(lambda: tty.status)
    assert "which has no shell" in tty.text
    await until(lambda: not terminals.snapshot())
    assert house.notes == []


async def test_a_stopped_client_does_not_stop_the_others(house: House, clients: Clients) -> None:
    served = await house.serve(house.terminals())
    served.gate.grant = Grant("ann", PAIR)
    ann, bob = clients.ssh(served), clients.ssh(served)
    await shows(ann, "$")
    await shows(bob, "$")
    os.kill(bob.pty.pid, 19)
    ann.type("head -c 4000000 /dev/zero | tr '\\0' 'x' | fold -w 70; echo; echo the end\r")
    await until(lambda: "\nthe end" in ann.text and ann.lines[-1] == "$", lambda: ann.text)
    os.kill(bob.pty.pid, 18)
    await until(lambda: bob.text == ann.text, lambda: bob.text)
    ann.type("echo again\r")
    await shows(bob, "\nagain")
