"""What the SSH server can be told; plain values, nothing is read from anywhere here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ACCEPT_ENV: Final = (
    "LANG", "LANGUAGE", "LC_*", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "NO_COLOR",
    "TZ", "GIT_PROTOCOL", "GIT_AUTHOR_*", "GIT_COMMITTER_*", "VSCODE_*",
)  # fmt: skip
"""Variables that clients may set without being asked further (fnmatch patterns)."""
MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class SshLimits:
    """Bounds that keep one client from exhausting the machine."""

    channels: int = 1024
    """Open channels per connection."""
    channels_undecided: int = 32
    """Open channels of a connection that nobody has let in yet."""
    window_undecided: int = 64 * 1024
    """Bytes that such a connection may send on each of them; more once it is let in."""
    requests_waiting: int = 256
    """Requests of one channel, or global ones, that may queue behind one that takes its time."""
    env_bytes: int = 64 * 1024
    """Names and values of the variables that one session may set."""
    window: int = 2 * MIB
    """Bytes that a client may send on one channel before we have taken them."""
    unsent: int = MIB
    """Bytes that wait in user space for a slow client's connection, over all its channels."""
    logins: int = 512
    """Connections at once that have not logged in with a key."""
    strangers_per_source: int = 256
    """Of one IPv4 address or IPv6 /64."""
    keys: int = 20
    """Different keys that a connection may show; an agent may hold a dozen."""


@dataclass(frozen=True)
class SSHSettings:
    """Settings of every connection; times in seconds."""

    host_name: str = ""
    """What clients are told they wait for; empty: the machine's host name."""
    cwd: str | None = None
    """Directory that sessions start in; None is the home directory."""
    shell: str | None = None
    """Login shell; None asks SHELL, the user database and what is installed."""
    accept_env: tuple[str, ...] = ACCEPT_ENV
    extra_env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Set in every session; wins over the daemon's environment, not over the client's LANG etc."""
    banner: str = ""
    """Shown by clients before they authenticate."""
    login_grace: float = 60.0
    """For a login, in which somebody may have to type a passphrase."""
    handshake_grace: float = 10.0
    """For the key exchange before it, which needs nobody."""
    keepalive_interval: float = 30.0
    """Silence after which the client is asked for a sign of life; 0 never asks."""
    keepalive_count: int = 4
    """Questions without an answer after which the client counts as gone."""
    cut_output: float | None = None
    """Silence after which a command that has exited is over though others hold its output open;
    None waits for the end of its output, as sshd."""
    limits: SshLimits = field(default_factory=SshLimits)
