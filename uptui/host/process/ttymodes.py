"""Terminal modes of an SSH pty request, put onto a real terminal (RFC 4254 section 8, RFC 8160)."""

import sys
import termios
from collections.abc import Mapping
from typing import Final

_CHARACTERS: Final = {
    1: "VINTR", 2: "VQUIT", 3: "VERASE", 4: "VKILL", 5: "VEOF", 6: "VEOL", 7: "VEOL2",
    8: "VSTART", 9: "VSTOP", 10: "VSUSP", 11: "VDSUSP", 12: "VREPRINT", 13: "VWERASE",
    14: "VLNEXT", 15: "VFLUSH", 16: "VSWTC", 17: "VSTATUS", 18: "VDISCARD",
}  # fmt: skip
_INPUT: Final = {
    30: "IGNPAR", 31: "PARMRK", 32: "INPCK", 33: "ISTRIP", 34: "INLCR", 35: "IGNCR", 36: "ICRNL",
    37: "IUCLC", 38: "IXON", 39: "IXANY", 40: "IXOFF", 41: "IMAXBEL", 42: "IUTF8",
}  # fmt: skip
_LOCAL: Final = {
    50: "ISIG", 51: "ICANON", 52: "XCASE", 53: "ECHO", 54: "ECHOE", 55: "ECHOK", 56: "ECHONL",
    57: "NOFLSH", 58: "TOSTOP", 59: "IEXTEN", 60: "ECHOCTL", 61: "ECHOKE", 62: "PENDIN",
}  # fmt: skip
_OUTPUT: Final = {
    70: "OPOST", 71: "OLCUC", 72: "ONLCR", 73: "OCRNL", 74: "ONOCR", 75: "ONLRET",
}  # fmt: skip
_CONTROL: Final = {90: "CS7", 91: "CS8", 92: "PARENB", 93: "PARODD"}
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _ISPEED, _OSPEED, _CC = range(7)
_FLAGS: Final = (
    (_IFLAG, _INPUT),
    (_LFLAG, _LOCAL),
    (_OFLAG, _OUTPUT),
    (_CFLAG, _CONTROL),
)
_SPEEDS: Final = {128: _ISPEED, 129: _OSPEED}
_VALUE: Final = 4
"""Bytes of a value, after its opcode."""
_RESERVED: Final = 160
"""From this opcode on values may have any size; 0 ends the list."""
_DISABLED: Final = 255
"""On the wire: this control character is off."""
_FALLBACK_IUTF8: Final = 0x4000
"""Linux's IUTF8, which Python's termios names only since 3.14."""


def _constant(name: str) -> int | None:
    value = getattr(termios, name, None)
    if value is None and name == "IUTF8" and sys.platform == "linux":
        return _FALLBACK_IUTF8
    return value


def read_modes(encoded: bytes) -> dict[int, int]:
    """Opcodes and values of a request, up to its end or to what cannot be read, as sshd."""
    modes: dict[int, int] = {}
    for at in range(0, len(encoded) - _VALUE, 1 + _VALUE):
        opcode = encoded[at]
        if not 0 < opcode < _RESERVED:
            break
        modes[opcode] = int.from_bytes(encoded[at + 1 : at + 1 + _VALUE], "big")
    return modes


def apply_modes(fd: int, modes: Mapping[int, int]) -> None:
    """Set what this system knows of `modes` (opcode -> value) and ignore the rest."""
    attributes = termios.tcgetattr(fd)
    for index, names in _FLAGS:
        for opcode, name in names.items():
            bit = _constant(name)
            if opcode in modes and bit is not None:
                attributes[index] = _with_flag(attributes[index], name, bit, modes[opcode])
    for opcode, name in _CHARACTERS.items():
        place = getattr(termios, name, None)
        if opcode in modes and place is not None:
            value = modes[opcode] & 0xFF
            attributes[_CC][place] = bytes([0 if value == _DISABLED else value])
    for opcode, index in _SPEEDS.items():
        speed = getattr(termios, f"B{modes.get(opcode, 0)}", None)
        if opcode in modes and speed is not None:
            attributes[index] = speed
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _with_flag(flags: int, name: str, bit: int, value: int) -> int:
    if name in {"CS7", "CS8"}:  # values of one field, not flags of their own
        return (flags & ~termios.CSIZE) | bit if value else flags
    return flags | bit if value else flags & ~bit
