"""Private keys as they come through variables of CI systems, and what of a value may be shown."""

import base64
import binascii
import re
from typing import Final

MAX_WORD: Final = 40
"""Characters of a name without a dot or dash, above which it may be a key or a token."""
MAX_PATH: Final = 255
_COLUMNS: Final = 64
_MAGIC: Final = b"openssh-key-v1\0"
"""How the inside of a key in OpenSSH's own format begins (OpenSSH PROTOCOL.key)."""
_PEM: Final = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----(?P<body>.*?)-----END (?P=kind)-----", re.DOTALL
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LONG_WORD: Final = re.compile(rf"[A-Za-z0-9+=_]{{{MAX_WORD},}}")


def private_key(text: str) -> str | None:
    r"""The key within `text` in the usual form, None where there is none.

    Undone are: base64 of the whole file, with or without line ends; the inside of the file alone;
    line ends written as `\n`, made spaces or lost; quotes around it.
    """
    plain = text.strip().strip("'\"").strip().replace("\\r", "").replace("\\n", "\n")
    if "PRIVATE KEY" in plain:
        return _tidied(plain)
    if _BASE64.fullmatch(plain) is None:
        return None
    try:
        inside = base64.b64decode("".join(plain.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if inside.startswith(_MAGIC):
        return _armoured("OPENSSH PRIVATE KEY", plain)
    if b"PRIVATE KEY" in inside:
        return _tidied(inside.decode("ascii", "replace"))
    return None


def showable(text: str) -> str:
    """`text`, or in place of what may be a secret how long it is."""
    words = (text, *text.split("/"))
    secret = (
        len(text) > MAX_PATH
        or "\n" in text
        or "PRIVATE KEY" in text
        or any(_LONG_WORD.fullmatch(word) for word in words)
    )
    return f"({len(text)} characters, not shown as they may be a secret)" if secret else text


def _tidied(text: str) -> str:
    """The key with the line ends that it should have; what is no such key stays as it is."""
    found = _PEM.search(text)
    body = "".join(found["body"].split()) if found is not None else ""
    if found is None or _BASE64.fullmatch(body) is None:
        return text.strip() + "\n"
    return _armoured(found["kind"], body)


def _armoured(kind: str, body: str) -> str:
    data = "".join(body.split())
    lines = [data[at : at + _COLUMNS] for at in range(0, len(data), _COLUMNS)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
