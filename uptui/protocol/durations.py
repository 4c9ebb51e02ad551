"""Spans of time as people write them in settings: `90s`, `2m`, `1h30m`, `7d`."""

from typing import Final

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60))


def written(seconds: float) -> str:
    """The shortest way to write exactly this span; settings read it back."""
    text, rest = "", seconds
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            text += f"{count:.0f}{unit}"
    return f"{text}{rest:g}s" if rest or not text else text
