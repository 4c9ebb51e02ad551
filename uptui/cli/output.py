"""Prints results: tables and sentences for people, JSON for programs; remote text is harmless."""

import io
import json
import sys
import time
from collections.abc import Iterable, Sequence

import click
import msgspec

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def clean(text: object) -> str:
    """Text without control characters, whoever wrote it."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def tolerate(*streams: object) -> None:
    """From now on these show a question mark for what their encoding (a Latin-1 or C locale) does
    not have, where Python would end the command."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(value: object) -> None:
    """One JSON document, indented."""
    print(_json(value, indent=2))


def print_line(value: object) -> None:
    """One JSON document on one line, flushed."""
    print(_json(value), flush=True)


def _json(value: object, indent: int | None = None) -> str:
    """JSON, escaped where the output is not UTF-8, so that programs read every name as it is."""
    escaped = not _is_unicode(sys.stdout.encoding)
    return json.dumps(msgspec.to_builtins(value), indent=indent, ensure_ascii=escaped)


def _is_unicode(encoding: str | None) -> bool:
    return "utf" in (encoding or "").lower()


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their content on a terminal; nothing is cut."""
    from rich.cells import cell_len

    lines = [list(headings), *([clean(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = zip(line, widths, strict=True)
        print("  ".join(cell + " " * (width - cell_len(cell)) for cell, width in cells).rstrip())


def print_qr(text: str) -> None:
    """A QR code, dark on light whatever the colours of the terminal; ASCII where it must be."""
    from uptui.widgets.qr import picture

    ascii_only = not _is_unicode(sys.stdout.encoding)
    for row in picture(text, ascii_only=ascii_only):
        print(f"\x1b[30;107m{row}\x1b[0m" if sys.stdout.isatty() else row)


def say(text: str) -> None:
    """A word beside the result."""
    print(text, file=sys.stderr, flush=True)


def ago(at: float | None) -> str:
    """How long ago, or how long until, in one unit."""
    if at is None:
        return "-"
    seconds = abs(time.time() - at)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def when(at: float | None) -> str:
    """A moment, past or to come, from now."""
    if at is None:
        return "never"
    return f"{ago(at)} ago" if at < time.time() else f"in {ago(at)}"


def amount(size: float) -> str:
    """Bytes, in a unit that keeps the number short."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
