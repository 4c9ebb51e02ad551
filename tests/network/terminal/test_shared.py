"""The shared terminal with real programs: everybody sees the same, nobody is in anybody's way."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.network.terminal.conftest import Start
from tests.network.terminal.viewers import PROGRAMS, Person, program, shell, until
from tests.unit.terminal.screens import state
from uptui.core.roles import DEVELOPER, PAIR, VIEWER, Role
from uptui.host.process.pty import Size
from uptui.host.process.spawn import ExitStatus
from uptui.host.sshd.access_control import Grant
from uptui.host.terminals.shared import SharedTerminal
from uptui.host.terminals.viewer import ViewMode


def full_state(person: Person) -> dict[str, object]:
    return state(person.window)


async def settled(terminal: SharedTerminal, *people: Person) -> None:
    """Wait until everybody's window shows what the emulator knows."""

    def different() -> str:
        want = state(terminal.emulator)
        return "\n".join(
            f"{key}: {full_state(person)[key]} not {want[key]}"
            for person in people
            for key in want
            if full_state(person)[key] != want[key]
        )

    await until(lambda: not different(), different)


async def test_everybody_sees_what_is_typed(start: Start) -> None:
    terminal = start(shell())
    ann, bob = Person(), Person()
    seat = terminal.join(ann, "ann", types=True)
    terminal.join(bob, "bob", types=False)
    seat.type(b"echo $((6*7))\r")
    await until(lambda: "\n42\n" in ann.text and "\n42\n" in bob.text, lambda: bob.text)
    await settled(terminal, ann, bob)


async def test_who_may_only_watch_cannot_type(start: Start) -> None:
    terminal = start(shell())
    ann, bob = Person(), Person()
    typist = terminal.join(ann, "ann", types=True)
    watcher = terminal.join(bob, "bob", types=False)
    watcher.type(b"echo wrong\r")
    await until(lambda: "keys are not passed on" in bob.text, lambda: bob.text)
    typist.type(b"echo right\r")
    await until(lambda: "\nright" in ann.text, lambda: ann.text)
    assert "wrong" not in ann.text
    await until(lambda: "keys are not passed on" not in bob.text, lambda: bob.text)
    await settled(terminal, ann, bob)


async def test_role_changes_apply_at_once(start: Start) -> None:
    terminal = start(shell())
    bob = Person()
    seat = terminal.join(bob, "bob", types=False)
    seat.regrant(Grant("bob", PAIR))
    seat.type(b"echo promoted\r")
    await until(lambda: "\npromoted" in bob.text, lambda: bob.text)
    seat.regrant(Grant("bob", VIEWER))
    seat.type(b"echo demoted\r")
    await asyncio.sleep(0.2)
    assert "\ndemoted" not in bob.text
    seat.regrant(Grant("bob", Role("none", frozenset())))
    assert bob.status == ExitStatus(code=0)
    assert "no longer" in bob.message
    assert not terminal.viewers


@pytest.mark.parametrize("name", PROGRAMS)
async def test_late_joiner_sees_the_same_program(start: Start, name: str, tmp_path: Path) -> None:
    argv, shown, keys, result = PROGRAMS[name]
    lines = (f"line {n} of ümläuts 漢字\n" for n in range(90))
    (tmp_path / "text").write_text("".join(lines))
    terminal = start(program(*argv, TMUX_TMPDIR=str(tmp_path), HOME=str(tmp_path)))
    ann = Person()
    seat = terminal.join(ann, "ann", types=True)
    await until(lambda: shown in ann.text, lambda: ann.text)
    seat.type(keys)
    await until(lambda: result in ann.text, lambda: ann.text)
    late, phone = Person(), Person(30, 10)
    terminal.join(late, "late", types=False)
    terminal.join(phone, "phone", types=False)
    assert terminal.emulator.alternate
    await settled(terminal, ann, late)
    assert len(late.text) > 200
    before = (ann.size, terminal.area)
    await until(phone.text.strip, "something on the phone")
    assert (ann.size, terminal.area) == before


async def test_program_end_gives_screens_back(start: Start) -> None:
    ended: list[ExitStatus] = []
    terminal = start(program("vim.tiny", "-u", "NONE"), on_end=ended.append)
    ann, phone = Person(), Person(40, 12)
    ann.write(b"before vim\r\n")
    phone.write(b"my own things\r\n")
    seat = terminal.join(ann, "ann", types=True)
    terminal.join(phone, "phone", types=False)
    await until(lambda: "~" in ann.text and "~" in phone.text, lambda: phone.text)
    seat.type(b":cq\r")
    await until(lambda: ann.status and phone.status)
    assert ended == [ExitStatus(code=1)]
    assert not phone.window.alternate
    assert "my own things" in phone.text
    assert not ann.window.alternate
    assert not ann.window.mode(2004)


async def test_a_phone_does_not_change_the_terminal(start: Start) -> None:
    terminal = start(shell())
    ann, phone = Person(), Person(30, 8)
    seat = terminal.join(ann, "ann", types=True)
    terminal.join(phone, "phone", types=True)
    phone_viewer = terminal.viewers[1]
    assert (terminal.area.columns, terminal.area.rows) == (80, 24)
    assert phone_viewer.view is ViewMode.FRAMED
    seat.type(b"seq 40; printf '%70s|' x\r")
    await until(lambda: ann.lines[-1].endswith("|$"), lambda: ann.text)
    await until(lambda: phone.lines[-1].endswith("x|$"), lambda: phone.text)
    phone_viewer.type(b"echo from the phone\r")
    await until(lambda: "\nfrom the phone" in ann.text, lambda: ann.text)
    await settled(terminal, ann)


async def test_large_window_shows_an_edge(start: Start) -> None:
    terminal = start(shell(), Size(60, 15))
    ann, wall = Person(60, 15), Person(100, 30)
    terminal.join(ann, "ann", types=True, host=True)
    terminal.join(wall, "wall", types=False)
    await until(lambda: "shared terminal 60x15" in wall.text, lambda: wall.text)
    assert wall.lines[0].endswith("│")
    assert wall.lines[15] == "─" * 60 + "┘"


async def test_sizes_follow_the_policy(start: Start) -> None:
    terminal = start(shell(), policy="smallest")
    ann, bob = Person(100, 30), Person(70, 40)
    first = terminal.join(ann, "ann", types=True)
    assert terminal.area.columns == 100
    second = terminal.join(bob, "bob", types=True)
    assert (terminal.area.columns, terminal.area.rows) == (70, 30)
    terminal.set_policy("typist")
    first.type(b" ")
    await until(lambda: terminal.area.columns == 100, "ann's size")
    second.type(b"stty size\r")
    await until(lambda: terminal.area.columns == 70, "bob's size")
    second.type(b"\rstty size\r")
    await until(lambda: "40 70" in bob.text, lambda: bob.text)
    second.resize(bob.resize(50, 20))
    await until(lambda: terminal.area.columns == 50, "bob's new size")
    await settled(terminal, bob)
    first.vanish()
    second.vanish()
    assert not terminal.viewers


async def test_the_host_decides_the_size(start: Start) -> None:
    terminal = start(shell())
    ann, host = Person(120, 40), Person(90, 20)
    terminal.join(ann, "ann", types=True)
    assert terminal.area.columns == 120
    seat = terminal.join(host, "host", types=True, host=True)
    assert (terminal.area.columns, terminal.area.rows) == (90, 20)
    seat.type(b"echo $COLUMNS; stty size\r")
    await until(lambda: "20 90" in host.text, lambda: host.text)
    await until(lambda: "20 90" in ann.text, lambda: ann.text)
    seat.vanish()
    await until(lambda: terminal.area.columns == 120, "ann's size again")
    await settled(terminal, ann)


async def test_a_stalled_viewer_is_skipped_and_redrawn(start: Start) -> None:
    terminal = start(shell())
    ann, bob = Person(), Person()
    seat = terminal.join(ann, "ann", types=True)
    slow = terminal.join(bob, "bob", types=False)
    await settled(terminal, ann, bob)
    bob.paused = True
    got = len(bob.received)
    seat.type(b"seq 30000; echo end of it\r")
    await until(lambda: "\nend of it" in ann.text, lambda: ann.text)
    assert len(bob.received) - got < 4096
    assert slow.view is ViewMode.BEHIND
    bob.paused = False
    slow.room()
    await until(lambda: "\nend of it" in bob.text, lambda: bob.text)
    assert len(bob.received) - got < 100_000
    await settled(terminal, ann, bob)


async def test_a_flood_leaves_the_same_screen_and_modes(start: Start) -> None:
    terminal = start(shell())
    ann = Person()
    seat = terminal.join(ann, "ann", types=True)
    seat.type(b"printf '\\033[?1h\\033]2;kept title\\007'; seq 300000; echo over\r")
    await until(lambda: "\nover" in ann.text and ann.text.endswith("$"), lambda: ann.text)
    late = Person()
    terminal.join(late, "late", types=False)
    await settled(terminal, ann, late)
    assert late.window.mode(1)
    assert late.window.title == "kept title"


async def test_questions_are_answered_once(start: Start) -> None:
    terminal = start(shell())
    people = [Person() for _ in range(3)]
    seats = [terminal.join(person, f"p{n}", types=True) for n, person in enumerate(people)]
    seats[0].type(b"printf '\\033[6n\\033[c'; read -rs -t 1 -d '' x; echo \"[${x@Q}]\"\r")
    await until(lambda: "62;1;6" in people[0].text, lambda: people[0].text)
    assert people[0].text.replace("\n", "").count("62;1;6") == 1
    assert b"\x1b[6n" not in people[1].received
    for person in people:
        assert not person.window.answers()
    seats[1].type(b"\x1b[?62;1;6c\x1b]11;rgb:0/0/0\x07echo clean\r")
    await until(lambda: "\nclean" in people[0].text, lambda: people[0].text)
    assert "62;1;6c" not in people[0].lines[-3]


async def test_echo_comes_before_emulation(start: Start) -> None:
    terminal = start(
        program("bash", "--norc", "-c", "stty raw; while :; do read -rsn1 k; echo -n $k; done")
    )
    ann = Person()
    seat = terminal.join(ann, "ann", types=True)
    await until(lambda: terminal.viewers[0].view is ViewMode.RAW)
    for _ in range(20):
        seen = len(ann.received)
        began = time.perf_counter()
        seat.type(b"x")
        await until(lambda seen=seen: len(ann.received) > seen)
        assert time.perf_counter() - began < 1.0


async def test_leaving_by_key_while_watching(start: Start) -> None:
    terminal = start(shell())
    bob = Person()
    terminal.join(bob, "bob", types=False).type(b"\x1d")
    assert bob.status == ExitStatus(code=0)
    assert not terminal.viewers
    assert DEVELOPER.name == "developer"


async def test_windows_of_other_sizes_are_repainted_in_turns(start: Start) -> None:
    """Everything else gets its turn between the windows, and each ends with the last screen."""
    terminal = start(shell(), Size(120, 40))
    loop = asyncio.get_running_loop()
    turn = 0
    first: dict[Person, int] = {}

    class Noting(Person):
        def write(self, data: bytes) -> None:
            super().write(data)
            if b"line 100" in data:
                first.setdefault(self, turn)

    def count() -> None:
        nonlocal turn, ticking
        turn += 1
        ticking = loop.call_soon(count)

    terminal.join(Person(120, 40), "host", types=True, host=True)
    people = [Noting(60 + number, 20) for number in range(40)]
    seats = [terminal.join(each, "other", types=True) for each in people]
    ticking = loop.call_soon(count)
    seats[-1].type(b"for i in {1..100}; do echo line $i; done\r")
    await until(lambda: len(first) == len(people), lambda: len(first))
    ticking.cancel()
    assert len(set(first.values())) > 1
    seats[0].type(b"echo the last line\r")
    await until(lambda: all("\nthe last line" in each.text for each in people))
