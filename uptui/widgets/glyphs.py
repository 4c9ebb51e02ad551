"""The signs that the screens are drawn with, once for UTF-8 terminals and once for all others."""

import codecs
import locale
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Glyphs:
    """Every sign by meaning; each is one cell wide."""

    ascii: bool
    up: str
    retry: str
    down: str
    paused: str
    ok: str
    warning: str
    failed: str
    skipped: str
    bell: str
    received: str
    sent: str
    arrow: str
    dot: str
    ellipsis: str
    hidden: str
    link: str
    broken: str
    bars: str
    """From nothing to full."""
    horizontal: str
    vertical: str
    corners: str
    """Top left, top right, bottom left, bottom right."""
    tees: str
    """Left, right."""
    lock: str
    pointer: str


UNICODE: Final = Glyphs(
    ascii=False,
    up="●",
    retry="◐",
    down="✖",
    paused="‖",
    ok="✔",
    warning="▲",
    failed="✖",
    skipped="○",
    bell="▶",
    received="↓",
    sent="↑",
    arrow="→",
    dot="·",
    ellipsis="…",
    hidden="•",
    link="━",
    broken="╌",
    bars=" ▁▂▃▄▅▆▇█",
    horizontal="─",
    vertical="│",
    corners="╭╮╰╯",
    tees="├┤",
    lock="■",
    pointer="›",
)

ASCII: Final = Glyphs(
    ascii=True,
    up="*",
    retry="~",
    down="x",
    paused="=",
    ok="+",
    warning="!",
    failed="x",
    skipped="-",
    bell="!",
    received="v",
    sent="^",
    arrow=">",
    dot="-",
    ellipsis="~",
    hidden="*",
    link="=",
    broken="-",
    bars=" _.-:=+*#",
    horizontal="-",
    vertical="|",
    corners="++++",
    tees="++",
    lock="#",
    pointer=">",
)


def is_utf8(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal's locale says UTF-8; `UPTUI_ASCII` set to anything says no."""
    if environ.get("UPTUI_ASCII"):
        return False
    for variable in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environ.get(variable)
        if value:
            return "utf-8" in value.lower() or "utf8" in value.lower()
    try:
        return codecs.lookup(locale.getpreferredencoding(do_setlocale=False)).name == "utf-8"
    except LookupError:
        return False


def pick(environ: Mapping[str, str] = os.environ) -> Glyphs:
    """The signs that this locale can show."""
    return UNICODE if is_utf8(environ) else ASCII
