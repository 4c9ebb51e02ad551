"""Turns what people write in files, variables and flags into values; ValueError says what is wrong.

Each parser takes text or an already typed TOML value, so that one table serves all three sources.
"""

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from uptui.config.keytext import private_key, showable
from uptui.errors import ProtocolError
from uptui.protocol.login import Origin
from uptui.protocol.names import alias_problem, is_host

T = TypeVar("T")
Parser = Callable[[object], T]

MAX_TEXT: Final = 64 * 1024
"""Characters of one value."""
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - what the user asks for by name
MAX_ITEMS: Final = 1000
"""Items of one list."""

_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
                          "w": 604800.0}  # fmt: skip
_SIZE_UNITS: Final = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12,
    "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_FINGERPRINT = re.compile(r"sha256=[0-9a-fA-F]{64}")


class DiscreetError(ValueError):
    """What is wrong with a value, without any part of it: fit for secrets."""


class Address(NamedTuple):
    """Where to listen; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class PortRange(NamedTuple):
    """Ports from first to last, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def text(value: object) -> str:
    """Any line of text."""
    if not isinstance(value, str):
        raise ValueError(f"expected text, not {_shown(value)}")  # noqa: TRY004
    if len(value) > MAX_TEXT:
        raise ValueError(f"longer than {MAX_TEXT} characters")
    return value


def _shown(value: object) -> str:
    if isinstance(value, str) and "PRIVATE KEY" in value:
        return showable(value)
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def one_line(value: object) -> str:
    """Text without line breaks or control characters."""
    found = text(value).strip()
    if any(ord(character) < 32 or ord(character) == 127 for character in found):
        raise ValueError("control characters are not allowed")
    return found


def secret(value: object) -> str:
    """A line of text; `@FILE` is what that file holds, so that it stays off command lines."""
    found = one_line(value)
    if not found.startswith("@"):
        return found
    file = Path(found[1:]).expanduser()
    try:
        with file.open() as opened:
            return one_line(opened.read(MAX_TEXT + 1))
    except OSError as error:
        raise DiscreetError(f"cannot read the file {file}: {error.strerror}") from error
    except UnicodeError as error:
        raise DiscreetError(f"the file {file} is not text") from error


def boolean(value: object) -> bool:
    """true/false, and yes/no, on/off, 1/0 as text."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "on": True, "1": True,
             "false": False, "no": False, "off": False, "0": False}  # fmt: skip
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError(f"expected true or false, not {_shown(value)}")


def number(first: int, last: int) -> Parser[int]:
    """A whole number within bounds."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not first <= value <= last:
            raise ValueError(f"expected a whole number from {first} to {last}, not {_shown(value)}")
        return value

    return parse


def choice(*words: str) -> Parser[str]:
    """One of some words."""

    def parse(value: object) -> str:
        if value in words:
            return str(value)
        raise ValueError(f"expected one of {', '.join(words)}, not {_shown(value)}")

    return parse


def duration(value: object) -> float:
    """Seconds; `90s`, `12h`, `1h30m`, `7d`, or a bare number of seconds."""
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= 10 * 366 * 86400:
        raise ValueError(f"expected a duration such as 90s, 15m, 12h or 7d, not {_shown(value)}")
    return seconds


def wait(value: object) -> float:
    """Seconds of a wait, which takes some time."""
    seconds = duration(value)
    if not seconds:
        raise ValueError("expected a duration longer than 0")
    return seconds


def off_duration(value: object) -> float | None:
    """Seconds, or None for `off`, `never`, an empty text and 0."""
    if value is None or (isinstance(value, str) and value.strip().lower() in {"", "off", "never"}):
        return None
    return duration(value) or None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    written = value.strip().lower()
    if re.fullmatch(r"\d+(?:\.\d+)?", written):
        return float(written)
    parts = _DURATION_PART.findall(written)
    rest = _DURATION_PART.sub("", written).strip()
    if not parts or rest or any(unit not in _DURATION_UNITS for _, unit in parts):
        return None
    return sum(float(amount) * _DURATION_UNITS[unit] for amount, unit in parts)


def size(value: object) -> int:
    """Bytes; `500kB`, `10MB`, `1GiB`, or a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(f"expected a size such as 500kB, 10MB or 1GiB, not {_shown(value)}")
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def path(value: object) -> str:
    """A path with `~` expanded."""
    found = one_line(value)
    if not found:
        raise ValueError("expected a path, not an empty text")
    return str(Path(found).expanduser())


def identity(value: object) -> str:
    """A private key in OpenSSH format, or the path of one."""
    found = text(value)
    key = private_key(found)
    if key is not None:
        return key
    if showable(found) != found and not _is_file(found):
        problem = "neither a private key in OpenSSH format nor the path of a file"
        raise DiscreetError(f"{problem}: {showable(found)}")
    return str(Path(path(found)).absolute())


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False


def absolute_path(value: object) -> str:
    """A path made absolute, because the daemon's working directory is not the user's."""
    return str(Path(path(value)).absolute())


def key_source(value: object) -> str:
    """An authorized_keys file, `github:USER`, `gitlab:USER` or an https URL of keys."""
    found = one_line(value)
    if found.startswith("https://"):
        return found
    service, colon, user = found.partition(":")
    if colon and service in {"github", "gitlab"}:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", user):
            raise ValueError(f"{user!r} is not a {service} user name")
        return found
    if found.startswith("http://"):
        raise ValueError("keys are only fetched by https")
    return absolute_path(found)


def _host(found: str) -> str:
    if found.startswith("[") and found.endswith("]"):
        return str(ipaddress.IPv6Address(found[1:-1]))
    if ":" in found:
        return str(ipaddress.IPv6Address(found))
    if found == "*":
        return EVERYWHERE
    if not is_host(found):
        raise ValueError(f"{found!r} is no host name")
    return found


def host(value: object) -> str:
    """A host name or IP address."""
    found = one_line(value)
    try:
        return _host(found)
    except ValueError as error:
        raise ValueError(f"expected a host name or address, not {_shown(value)}") from error


def address(default_port: int | None = None) -> Parser[Address]:
    """`HOST:PORT`, `[IPV6]:PORT`, `:PORT` (every interface); with a default also `HOST`, `PORT`."""

    def parse(value: object) -> Address:
        found = str(value) if isinstance(value, int) else one_line(value)
        try:
            return _address(found, default_port)
        except ValueError as error:
            example = "127.0.0.1:8080, [::1]:8080 or :8080"
            raise ValueError(f"expected an address such as {example}, not {_shown(value)}") from (
                error
            )

    return parse


def _address(found: str, default_port: int | None) -> Address:
    if found.isdigit():
        return Address("127.0.0.1" if default_port is None else EVERYWHERE, _port(found))
    bare_v6 = found.count(":") > 1 and not found.startswith("[")
    name, colon, port = (found, "", "") if bare_v6 else found.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = found, ""
    if not port:
        if default_port is None:
            raise ValueError("the port is missing")
        return Address(_host(name), default_port)
    return Address(_host(name or "*"), _port(port))


def _port(found: str) -> int:
    if not found.isdigit() or not 0 <= int(found) <= 65535:
        raise ValueError(f"{found!r} is no port")
    return int(found)


def port_range(value: object) -> PortRange:
    """`FIRST-LAST`."""
    first, dash, last = one_line(value).partition("-")
    try:
        found = PortRange(_port(first.strip()), _port((last if dash else first).strip()))
    except ValueError as error:
        raise ValueError(f"expected ports such as 20000-20999, not {_shown(value)}") from error
    if found.first == 0 or found.first > found.last:
        raise ValueError(f"expected ports such as 20000-20999, not {_shown(value)}")
    return found


def relay_url(value: object) -> str:
    """`https://relay.example`, or a bare host name; `#sha256=HEX` pins its certificate."""
    found = one_line(value)
    if "://" not in found:
        found = f"https://{found}"
    problem = _relay_url_problem(found)
    if problem:
        raise ValueError(f"{_shown(value)}: {problem}; expected such as https://relay.example")
    return found


def _relay_url_problem(found: str) -> str | None:
    try:
        parts = urlsplit(found)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"http", "https"}:
        return "only http and https are spoken"
    if not parts.hostname or port == 0:
        return "the host is missing"
    if parts.username is not None:
        return "a user name does not belong into a relay's address"
    if parts.path not in {"", "/"} or parts.query:
        return "a path does not belong into a relay's address"
    if parts.fragment and _FINGERPRINT.fullmatch(parts.fragment) is None:
        return "after '#' only sha256=<64 hex digits> is understood"
    if parts.fragment and parts.scheme != "https":
        return "a certificate can be pinned only with https"
    return None


def origin(value: object) -> str:
    """`https://relay.example` or `http://192.0.2.7:8080`, spelled with its port."""
    found = one_line(value)
    try:
        return str(Origin.parse(found))
    except ProtocolError as error:
        expected = "https://relay.example or http://192.0.2.7:8080"
        raise ValueError(f"expected such as {expected}, not {_shown(value)}") from error


def proxy_url(value: object) -> str:
    """`http://proxy:3128`, or `none` to use no proxy whatever the environment says."""
    found = one_line(value)
    if found in {"none", "direct"}:
        return "none"
    try:
        parts = urlsplit(found)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        example = "http://proxy.example:3128 or http://user:password@proxy.example:3128"
        raise DiscreetError(f"expected such as {example}, or none for no proxy")
    return found


def alias(value: object) -> str:
    """A name that a relay may keep for us."""
    found = one_line(value)
    problem = alias_problem(found)
    if problem:
        raise ValueError(f"{found!r}: {problem}")
    return found


def landing(value: object) -> str:
    """`shell`, `shared` or `command: ...`."""
    found = one_line(value)
    if found in {"shell", "shared"} or re.fullmatch(r"command:\s*\S.*", found):
        return found
    raise ValueError(f"expected shell, shared or 'command: ...', not {_shown(value)}")


def moment(value: object) -> float:
    """Unix seconds; `2026-01-31T18:00`, with zone or in local time, or `18:00` for the next one."""
    if isinstance(value, dt.datetime):
        return value.astimezone().timestamp()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dt.time):
        return _next(value)
    found = one_line(value)
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", found):
            return _next(dt.time.fromisoformat(found.zfill(5)))
        return dt.datetime.fromisoformat(found).astimezone().timestamp()
    except ValueError as error:
        expected = "18:00, 2026-01-31T18:00 or 2026-01-31T18:00+01:00"
        raise ValueError(f"expected a time such as {expected}, not {_shown(value)}") from error


def _next(clock: dt.time) -> float:
    now = dt.datetime.now().astimezone()
    at = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
    return (at if at > now else at + dt.timedelta(days=1)).timestamp()


def many(item: Parser[T]) -> Parser[tuple[T, ...]]:
    """A list; as text its items are separated by commas or lines."""

    def parse(value: object) -> tuple[T, ...]:
        if isinstance(value, str):
            value = [part for part in re.split(r"[,\n]", value) if part.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a list, not {_shown(value)}")  # noqa: TRY004
        items: tuple[object, ...] = tuple(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if len(items) > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} items")
        return tuple(item(part.strip() if isinstance(part, str) else part) for part in items)

    return parse


def optional(item: Parser[T]) -> Parser[T | None]:
    """None, or an empty text for none; otherwise what `item` reads."""

    def parse(value: object) -> T | None:
        if value is None or (isinstance(value, str) and value.strip().lower() in {"", "off"}):
            return None
        return item(value)

    return parse
