"""What the client's scp asks its far end to do: the command line read. Pure."""

from dataclasses import dataclass

from uptui.host.sshd.files.shell_words import Value, Word, split, text


@dataclass(frozen=True)
class ScpCommand:
    """`scp -t` or `scp -f` with its paths, whose braces and wildcards are still to be expanded."""

    sink: bool
    words: tuple[Word, ...]
    recursive: bool = False
    preserve: bool = False
    directory: bool = False


def command_of(command: str, value: Value) -> ScpCommand | None:
    """The command when it is scp's own remote end and nothing else, or None.

    `value` is asked for variables in it.
    """
    if "\0" in command or not command.lstrip(" \t").startswith("scp"):
        return None
    words = split(command, value)
    if words is None or len(words) < 3 or text(words[0]) != "scp":
        return None
    flags = ""
    rest = words[1:]
    while rest and text(rest[0]).startswith("-") and text(rest[0]) != "--":
        flags += text(rest.pop(0))[1:]
    if rest and text(rest[0]) == "--":
        rest.pop(0)
    sink = "t" in flags
    if not rest or not set(flags) <= set("tfrpdvq") or sink == ("f" in flags):
        return None
    return ScpCommand(sink, tuple(rest), "r" in flags, "p" in flags, "d" in flags)
