"""`ssh -t NAME uptui shells [N]`: which kept shell a client asks for, and what it is answered."""

import shlex
from dataclasses import dataclass
from typing import Final

WORDS: Final = ["uptui", "shells"]


@dataclass(frozen=True)
class Asked:
    """What a client wants with the shells kept for it."""

    number: int | None
    """The shell to take up, from 1; None is the only one."""


def parse(command: str) -> Asked | None:
    """What `command` asks for; None for every other command, which is the shell's."""
    if not command.startswith(WORDS[0]):
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if words[:2] != WORDS or len(words) > len(WORDS) + 1:
        return None
    if len(words) == len(WORDS):
        return Asked(None)
    return Asked(int(words[2])) if words[2].isascii() and words[2].isdigit() else None


def answer(kept: list[str], asked: Asked, *, terminal: bool) -> int | str:
    """The number of the shell to take up, or what to say instead."""
    if not kept:
        return "No shell of yours is kept.\n"
    number = asked.number or (1 if len(kept) == 1 and asked.number is None else None)
    if terminal and number is not None and 0 < number <= len(kept):
        return number
    lines = [f"{number}  {text}\n" for number, text in enumerate(kept, 1)]
    return "".join([*lines, "Take one up with: ssh -t NAME uptui shells N\n"])
