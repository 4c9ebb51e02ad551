"""Sequences by which a program's output acts on the terminals of those who watch it."""

import re

_CLIPBOARD = b"aGFybQ=="

HOSTILE: dict[str, bytes] = {
    "clipboard write": b"\x1b]52;c;" + _CLIPBOARD + b"\x07",
    "clipboard read": b"\x1b]52;c;?\x1b\\",
    "clipboard write of kitty": b"\x1b]5522;type=write\x1b\\",
    "file of iTerm2": b"\x1b]1337;File=name=eA==;inline=0:" + _CLIPBOARD + b"\x07",
    "clipboard of iTerm2": b"\x1b]1337;CopyToClipboard=general\x07",
    "cell size of iTerm2": b"\x1b]1337;ReportCellSize\x07",
    "kitty graphics from a file": b"\x1b_Ga=T,t=f,f=100;L2V0Yy9wYXNzd2Q=\x1b\\",
    "kitty graphics query": b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
    "kitty remote control": b'\x1bP@kitty-cmd{"cmd":"launch"}\x1b\\',
    "kitty colours": b"\x1b]21;foreground=?;background=?\x1b\\",
    "kitty keyboard": b"\x1b[>31u",
    "kitty file transfer": b"\x1b]5113;ac=send\x1b\\",
    "sixel": b"\x1bPq#0;2;0;0;0#0~~\x1b\\",
    "tmux passthrough": b"\x1bPtmux;\x1b\x1b]52;c;" + _CLIPBOARD + b"\x07\x1b\\",
    "screen title": b"\x1bkname\x1b\\",
    "user-defined keys": b"\x1bP1;1|17/0d\x1b\\",
    "downloaded characters": b"\x1bP1;1;1{ @???\x1b\\",
    "DECRQSS": b"\x1bP$qm\x1b\\",
    "XTGETTCAP": b"\x1bP+q544e\x1b\\",
    "DECRQCRA": b"\x1b[1;1;1;1;2;2*y",
    "media copy": b"\x1b[5i printed \x1b[4i",
    "media copy, private": b"\x1b[?5i",
    "device attributes": b"\x1b[c\x1b[>c\x1b[=c\x1bZ",
    "status": b"\x1b[5n\x1b[6n\x1b[?6n\x1b[?996n",
    "mode requests": b"\x1b[?2026$p\x1b[4$p",
    "XTVERSION and window reports": b"\x1b[>q\x1b[14t\x1b[18t\x1b[21t",
    "window changes": b"\x1b[3;0;0t\x1b[8;1;1t\x1b[2t",
    "colour questions": b"\x1b]4;1;?;2;?\x07\x1b]10;?;?\x07\x1b]12;?\x07",
    "colour changes": b"\x1b]4;1;#f00\x07\x1b]11;#fff\x07\x1b]104\x07",
    "working directory and notifications": b"\x1b]7;file://h/x\x07\x1b]9;x\x07\x1b]777;notify;a;b\x07",
    "C1 as single bytes": b"\x9d52;c;?\x9c\x9b6n\x90+q544e\x9c\x9fG\x9c",
    "C1 in UTF-8": b"\xc2\x9d52;c;?\xc2\x9c\xc2\x9b6n\xc2\x90x\xc2\x9c",
    "8-bit controls on": b'\x1b G\x1b%@\x1b[61"p',
    "VT52 and locked keyboard": b"\x1b[?2l\x1b[2h\x1b[12l",
    "reports of size and theme": b"\x1b[?2048h\x1b[?2031h\x1b[?1001h",
    "enquiry": b"\x05",
    "scrollback emptied": b"\x1b[3J",
    "link to a file": b"\x1b]8;;file:///etc/passwd\x1b\\a\x1b]8;;\x1b\\",
    "link with a control": b"\x1b]8;;http://x/\x07\x1b]8;;javascript:x\x1b\\\x1b]8;;\x1b\\",
    "title with controls": b"\x1b]0;\x9b6n\xc2\x9b6n\x01\x07",
    "sequence in a sequence": b"\x1b[\x1b]52;c;x\x07 6n\x1b[1\x182c\x1b[6\x1b[6n",
    "endless string": b"\x1b]52;c;" + b"A" * 9000,
}

_TOKEN = re.compile(
    r"\x1b\[([<=>?]?)([0-9:;]*)([ -/]*)([@-~])|\x1b\](.*?)\x1b\\|\x1b([ -/]*)([0-~])|([\x00-\x9f])",
    re.DOTALL,
)
_CSI = {
    ("", ""): "@ABCDEFGHIJKLMPSTXZ`abdefghlmrsu",
    ("?", ""): "JKhl",
    (">", ""): "m",
    ("", "!"): "p",
    ("", " "): "q@A",
    ("", '"'): "q",
    ("", "$"): "rtvxz{",
    ("", "'"): "}~",
}
_PRIVATE_MODES = {
    1,
    5,
    6,
    7,
    9,
    12,
    25,
    45,
    47,
    66,
    69,
    1000,
    1002,
    1003,
    1004,
    1005,
    1006,
    1015,
    1016,
    1047,
    1048,
    1049,
    2004,
    2026,
}
_LINK = re.compile(r"8;(id=[\w.-]+)?;((https?|mailto):[!-~]+)?")


def strange(output: bytes) -> list[str]:
    """What in `output` no viewer's terminal should be sent; read by another grammar than ours."""
    return [
        match[0]
        for match in _TOKEN.finditer(output.decode())
        if (match[0] < " " or match[0] >= "\x7f") and not _harmless(match)
    ]


def _harmless(match: re.Match[str]) -> bool:
    marker, numbers, between, final, osc, lead, single, control = match.groups()
    if control is not None:
        return control in "\a\b\t\n\v\f\r\x0e\x0f" or " " <= control < "\x7f"
    if osc is not None:
        return _LINK.fullmatch(osc) is not None
    if final is None:
        return f"{lead}{single}"[0] in "6789=>DEHMNOno#()*+"
    if final not in _CSI.get((marker, between), ""):
        return False
    if final in "hl":
        return {int(n) for n in numbers.split(";")} <= (_PRIVATE_MODES if marker else {4, 20})
    if final == "J":
        return "3" not in numbers
    return marker != ">" or numbers.split(";")[0] == "4"
