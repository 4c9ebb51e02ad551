"""The text that goes to somebody who was invited and has never seen this tool."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from uptui.core.keys import KeyFormatError, parse_public_key
from uptui.protocol.host_api import InviteView

_WHAT: Final = {
    "viewer": "watch a shared terminal",
    "pair": "work in a shared terminal",
    "developer": "work on a machine: terminal, files, ports, your editor",
}

_KEY_HELP: Final = """\
You need an SSH key. If you have none (no file ~/.ssh/id_ed25519.pub), make one once with

    ssh-keygen -t ed25519

and press Enter at each question. On Windows this works in PowerShell too."""


def _ends(invite: InviteView) -> list[str]:
    lines: list[str] = []
    if invite.expires_at is not None:
        until = datetime.fromtimestamp(invite.expires_at, UTC)
        lines.append(f"It works until {until:%Y-%m-%d %H:%M} UTC.")
    if invite.bind_first_key:
        lines.append("It belongs to the first key that uses it: do not pass it on.")
    elif invite.uses_left is not None:
        people = "one person" if invite.uses_left == 1 else f"{invite.uses_left} people"
        lines.append(f"It admits {people}.")
    return lines


def _commands(strings: Mapping[str, str]) -> list[tuple[str, str]]:
    wanted = (
        ("ssh", "Terminal"),
        ("vscode", "VS Code (with the Remote-SSH extension), open this link"),
        ("scp", "Copy a file"),
    )
    found = [(title, strings[key]) for key, title in wanted if key in strings]
    return found or [("Terminal", command) for command in list(strings.values())[:1]]


def _fingerprints(strings: Mapping[str, str]) -> list[str]:
    """Those of the host keys in the known_hosts lines: the client chooses which it sees."""
    found: list[str] = []
    for line in strings.get("known_hosts", "").splitlines():
        with contextlib.suppress(KeyFormatError):
            found.append(parse_public_key(line.partition(" ")[2]).fingerprint)
    return found


def invitation_text(invite: InviteView, strings: Mapping[str, str]) -> str:
    """A message ready to send: what it is, how to make a key, the commands, how to be sure.

    `strings` are those of the invite by format (protocol.host_api.Strings.strings).
    """
    what = _WHAT.get(invite.role, f"join with the role {invite.role!r}")
    parts = [f"Hello {invite.name}, you are invited to {what}.", *_ends(invite), "", _KEY_HELP, ""]
    for title, command in _commands(strings):
        parts += [f"{title}:", "", *(f"    {line}" for line in command.splitlines()), ""]
    parts.append("The first time you are asked whether to trust the host key.")
    fingerprints = _fingerprints(strings)
    if fingerprints:
        parts.append("Say yes only if it is " + "\nor ".join(fingerprints))
    return "\n".join(parts).rstrip() + "\n"
