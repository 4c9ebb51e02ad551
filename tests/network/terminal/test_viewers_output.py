"""What real programs and hostile ones send to the terminals of those who watch."""

from pathlib import Path

import pytest

from tests.network.terminal.conftest import Start
from tests.network.terminal.tty import Tty
from tests.network.terminal.viewers import PROGRAMS, Person, program, until
from tests.unit.terminal.hostile_output import HOSTILE, strange
from tests.unit.terminal.screens import state
from uptui.core.terminal_output import AllowedOutput, for_viewers
from uptui.host.terminals.emulator import Emulator


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_real_program_looks_the_same(name: str, tmp_path: Path) -> None:
    argv, shown, keys, result = PROGRAMS[name]
    lines = (f"line {n} of ümläuts 漢字\n" for n in range(90))
    (tmp_path / "text").write_text("".join(lines))
    here = str(tmp_path)
    command = [f"/usr/bin/{argv[0]}", *argv[1:]]
    tty = Tty(command, cwd=here, HOME=here, TMUX_TMPDIR=here, LANG="C.UTF-8")
    await until(lambda: shown in tty.text, lambda: tty.text)
    tty.type(keys.decode())
    await until(lambda: result in tty.text, lambda: tty.text)
    raw = bytes(tty.raw)
    tty.close()
    await until(lambda: tty.status)
    allowed, plain, watched = AllowedOutput(), Emulator(80, 24), Emulator(80, 24)
    plain.feed(raw)
    for start in range(0, len(raw), 100):
        watched.feed(for_viewers(allowed.feed(raw[start : start + 100])))
    apart = ("title", "colours")  # which the host's emulator knows and viewers are told otherwise
    expected = {key: value for key, value in state(plain).items() if key not in apart}
    assert {key: value for key, value in state(watched).items() if key not in apart} == expected


async def test_nothing_hostile_reaches_a_window_of_the_terminals_size(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "hostile").write_bytes(b"-\r\n".join(HOSTILE.values()) + b"\x1b\\\r\nover\r\n")
    ann, late, phone = Person(), Person(), Person(60, 20)
    terminal = start(
        program("bash", "-c", "read -s; stty -echo; cat hostile; sleep 60", HOME=str(tmp_path))
    )
    seat = terminal.join(ann, "ann", types=True)
    terminal.join(phone, "phone", types=False)
    await until(ann.received.__len__)
    seat.type(b"\r")
    await until(lambda: "over" in ann.text and "over" in phone.text, lambda: ann.text)
    terminal.join(late, "late", types=False)
    await until(lambda: "over" in late.text, lambda: late.text)
    ours = ("\x1b]2;\ufffd6n6n\x07", "\x1b[22;2t", "\x1b[23;2t")
    for person in (ann, late, phone):
        received = person.received.decode()
        for each in ours:
            received = received.replace(each, "")
        assert not strange(received.encode())
        assert "aGFybQ" not in received
