"""A command line's words as a shell reads them: quotes, variables and braces. Pure.

What only a shell can do (pipes, several commands, command substitution) is not read at all.
"""

import errno
import os
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias

MAX_CHARACTERS: Final = 256 * 1024
"""Of all words together, while braces are taken apart; a shell's arguments are limited, too."""
MAX_SEQUENCE: Final = 1000
"""Numbers that one `{1..N}` may stand for."""
WILDCARDS: Final = frozenset("*?[")

Word: TypeAlias = tuple[tuple[str, bool], ...]
"""Characters, and whether each stands there bare: only such ones mean more than themselves."""
Value: TypeAlias = Callable[[str], str | None]
"""The value of a variable; None for those that are not known here, which stay as they are."""

_NAME: Final = r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})"
_TOKEN: Final = re.compile(
    rf"""(?P<space>[ \t]+) | '(?P<single>[^']*)' | "(?P<double>(?:[^"\\`]|\\.)*)"
    | \\(?P<escaped>.) | (?P<variable>{_NAME}) | (?P<bare>\$(?!\() | [^\s;&|<>`'"\\$])""",
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE: Final = re.compile(
    rf'\\(?P<escaped>[$`"\\\n]) | (?P<variable>{_NAME}) | (?P<plain>.)', re.VERBOSE | re.DOTALL
)
_SEQUENCE: Final = re.compile(r"(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})|([A-Za-z])\.\.([A-Za-z])")


def split(command: str, value: Value) -> list[Word] | None:
    """The words, or None where more than words is asked of the shell."""
    words: list[Word] = []
    word: list[tuple[str, bool]] | None = None
    at = 0
    while at < len(command):
        found = _TOKEN.match(command, at)
        if found is None or "$(" in (found["double"] or ""):
            return None
        at = found.end()
        if found.lastgroup != "space":
            word = [] if word is None else word
            word += _characters(found, value)
        elif word is not None:
            words.append(tuple(word))
            word = None
    return words if word is None else [*words, tuple(word)]


def _characters(found: re.Match[str], value: Value) -> Word:
    text = found[found.lastgroup or 0]
    if found.lastgroup == "bare":
        return ((text, True),)
    if found.lastgroup == "variable":
        text = _valued(text, value)
    elif found.lastgroup == "double":
        text = "".join(
            _valued(part["variable"], value) if part["variable"] else part["escaped"] or part[0]
            for part in _IN_DOUBLE.finditer(text)
        )
    return tuple((character, False) for character in text)


def _valued(variable: str, value: Value) -> str:
    known = value(variable.strip("${}"))
    return variable if known is None else known


def text(word: Word) -> str:
    """It without its quotes."""
    return "".join(character for character, _ in word)


def braces(word: Word) -> list[Word]:
    """What `{a,b}` and `{1..3}` in it stand for, in their order. Raises OSError (E2BIG)."""
    done: list[Word] = []
    todo = [word]
    characters = 0
    while todo:
        word = todo.pop()
        ways = _first_braces(word)
        if ways is None:
            done.append(word)
            continue
        characters += sum(map(len, ways))
        if characters > MAX_CHARACTERS:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        todo += reversed(ways)
    return done


def _first_braces(word: Word) -> list[Word] | None:
    """The word with each part of its first braces in their place; None when there are none."""
    open_at: list[list[int]] = []
    found: list[int] | None = None
    for at, (character, bare) in enumerate(word):
        if not bare:
            continue
        if character == "{":
            open_at.append([at])
        elif character == "," and open_at:
            open_at[-1].append(at)
        elif character == "}" and open_at:
            marks = [*open_at.pop(), at]
            several = len(marks) > 2 or _sequence(word[marks[0] + 1 : at])
            if several and (found is None or marks[0] < found[0]):
                found = marks
    if found is None:
        return None
    parts = [word[left + 1 : right] for left, right in pairwise(found)]
    if len(parts) == 1:
        parts = _sequence(parts[0])
    return [word[: found[0]] + part + word[found[-1] + 1 :] for part in parts]


def _sequence(word: Word) -> list[Word]:
    """What `1..3` or `a..c` stands for; empty when it is neither."""
    found = _SEQUENCE.fullmatch(text(word)) if all(bare for _, bare in word) else None
    if found is None:
        return []
    letters = found[3] is not None
    first, last = (ord(found[3]), ord(found[4])) if letters else (int(found[1]), int(found[2]))
    if abs(last - first) >= MAX_SEQUENCE:
        return []
    step = 1 if last >= first else -1
    values = (chr(n) if letters else str(n) for n in range(first, last + step, step))
    return [tuple((character, False) for character in item) for item in values]
