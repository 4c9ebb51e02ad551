"""The host API: what the daemon tells the TUI and the CLI on its Unix socket, and what it takes.

One Snapshot says everything a screen draws; `GET /v1/events` streams it again whenever it changed.
All times are Unix seconds, all rates bytes per second. Every text that came from a client is
untrusted and already stripped of control characters; who draws it still escapes markup.
"""

from time import localtime, strftime
from typing import Final, Literal

import msgspec

from uptui.protocol.activity import ChannelView, Transfer
from uptui.protocol.durations import written
from uptui.protocol.names import ClientId, Fingerprint, RequestId, RouteName, Way

RelayStatus = Literal["starting", "up", "retry", "down", "superseded"]
ShareStatus = Literal["starting", "sharing", "paused", "stopping"]
UnknownPolicy = Literal["ask", "deny", "accept"]
Verification = Literal["proved", "vouched"]
"""proved: the client signed for our own SSH server; vouched: the relay says so (plain way)."""
Level = Literal["info", "notice", "warning", "error"]
SettingValue = str | int | float | bool | list[str] | None
SettingOrigin = Literal["default", "file", "env", "flag", "live"]
MAX_LOG_ENTRIES: Final = 10_000  # of the record, in one answer


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything the host API sends; immutable, keyword-only."""


class PortWay(Model, frozen=True, kw_only=True):
    """`ssh -p port user@host`: end-to-end encrypted."""

    host: str
    port: int
    user: str


class JumpWay(Model, frozen=True, kw_only=True):
    """`ssh -J user@host:port login@target`: end-to-end encrypted; the relay sees only `target`."""

    host: str
    port: int
    user: str
    target: str
    login: str = ""  # the inner user name, which carries a secret; empty: the client's own


class PlainWay(Model, frozen=True, kw_only=True):
    """`ssh -p port user@host`: the relay can read it."""

    host: str
    port: int
    user: str


class Ways(Model, frozen=True, kw_only=True, omit_defaults=True):
    """Each way in; one that the relay does not offer is absent."""

    port: PortWay | None = None
    jump: JumpWay | None = None
    plain: PlainWay | None = None


class Strings(Model, frozen=True, kw_only=True):
    """`uptui url --json`: one name, its ways, and ready-made strings by format."""

    name: str
    host_key: str
    host_keys: list[str] = []  # every OpenSSH public key that clients may be shown, that one first
    ways: Ways
    strings: dict[str, str]
    """Format -> string; formats are listed in core.strings.FORMATS, primary first."""


class ReconnectEntry(Model, frozen=True, kw_only=True):
    """One loss of the relay."""

    at: float
    reason: str
    lasted: float | None = None


class RelayView(Model, frozen=True, kw_only=True):
    """The link to the relay."""

    url: str
    embedded: bool
    status: RelayStatus
    since: float
    reason: str = ""
    retry_at: float | None = None
    rtt_ms: float | None = None
    rtt_history: list[float] = []
    transport: Literal["tcp", "websocket", ""] = ""
    transport_reason: str = ""
    software: str = ""
    message: str = ""
    warning: str = ""
    """Why this link should not be used as it is, such as plain http; empty when all is well."""
    refused: list[str] = []
    """Names that the relay refused, each with its reason, in words."""
    reconnects: list[ReconnectEntry] = []


class ShareView(Model, frozen=True, kw_only=True):
    """The share as a whole."""

    name: str
    """Instance name (`--name`)."""
    hostname: str
    os_user: str
    version: str
    pid: int
    started_at: float
    status: ShareStatus
    fingerprint: Fingerprint
    alias: str | None
    token: RouteName
    token_rotates_at: float | None
    locked: bool
    e2e_only: bool
    unknown: UnknownPolicy
    recording: bool = False
    stops_at: float | None = None
    stop_reason: str = ""
    unsaved: str = ""
    """Why what was decided is not on disk and would not outlive the daemon; empty when it is."""


class Pending(Model, frozen=True, kw_only=True):
    """Somebody waits for an answer."""

    id: RequestId
    client_id: ClientId
    name: str
    """Best guess of who it is: invite name, key comment, or the SSH user name."""
    user: str
    fingerprint: Fingerprint
    verification: Verification
    address: str
    program: str
    way: Way
    wants: str
    """What they have asked for so far: "shell", "exec: uname -s", "files", ..."""
    role: str
    """The role that a plain approve would give."""
    invite: str | None
    asked_at: float
    expires_at: float
    present: bool = True
    """False: the client was lost; an approval lets it in when it comes back in time."""
    warning: str = ""
    """Why this may not be who the name says, in words; empty for no reason."""


class ClientView(Model, frozen=True, kw_only=True):
    """Somebody connected."""

    id: ClientId
    name: str
    user: str
    fingerprint: Fingerprint
    verification: Verification
    verified_by: str
    """Why they are in, in words: "authorized_keys", "invite for-alice", "approved", ..."""
    role: str
    address: str
    program: str
    way: Way
    route: RouteName
    since: float
    last_activity: float
    received: int
    sent: int
    receive_rate: float
    send_rate: float
    rate_history: list[float] = []
    """Both directions together, one value a second, oldest first, at most 60."""
    cipher: str = ""
    kex: str = ""
    channels: list[ChannelView] = []
    transfers: list[Transfer] = []


class Forward(Model, frozen=True, kw_only=True):
    """One forwarded port or socket, or the tunnels of one client to one destination."""

    client_id: ClientId
    client_name: str
    direction: Literal["local", "remote"]
    listen: str
    """Remote forwards: where we listen; local ones: empty."""
    target: str
    connections: int
    """Open now."""
    total_connections: int
    received: int
    sent: int


class ListeningPort(Model, frozen=True, kw_only=True):
    """A TCP port that something in this machine listens on."""

    port: int
    address: str
    process: str
    pid: int | None


class InviteView(Model, frozen=True, kw_only=True):
    """One invite, as people see it: a name to connect to, with a role and an end."""

    route: RouteName
    name: str
    role: str
    landing: str
    """"shell", "shared", or "command: ..."."""
    uses_left: int | None
    used: int
    created_at: float
    expires_at: float | None
    bind_first_key: bool
    bound_to: Fingerprint | None
    state: Literal["active", "used-up", "expired", "revoked"]
    strings: dict[str, str] = {}


class PersonView(Model, frozen=True, kw_only=True):
    """Somebody the host remembers by key."""

    fingerprint: Fingerprint
    key: str
    name: str
    role: str
    """Empty: known by name, but asked about each time."""
    blocked: bool
    source: str
    """Where the key came from: "approved", "authorized_keys", "github:user", ..."""
    first_seen: float | None
    last_seen: float | None


class TerminalView(Model, frozen=True, kw_only=True):
    """What outlives its viewers: the shared terminal, a kept shell, a program left running."""

    id: str
    kind: Literal["shared", "kept", "left"]
    owner: str
    title: str
    command: str
    started_at: float
    columns: int
    rows: int
    viewers: int
    typists: int
    detached_at: float | None = None
    ends_at: float | None = None
    recording: bool = False


class LogEntry(Model, frozen=True, kw_only=True):
    """One line of the record: an event, or repeats of one that are told by their last."""

    n: int
    """Grows from entry to entry within a daemon's life."""
    at: float
    """When it happened (Unix time); of repeats, the last of them."""
    level: Level
    event: str
    """Dotted name, such as "client.joined"."""
    text: str
    """One sentence for people."""
    client_id: ClientId | None = None
    name: str | None = None
    fingerprint: Fingerprint | None = None
    way: Way | None = None
    data: dict[str, str | int | float | bool | None] = {}
    count: int = 1
    """How many events of this kind and source the entry stands for."""
    since: float | None = None
    """When the first of the repeats happened (Unix time); None for a single event."""

    @property
    def actor(self) -> str:
        """Who did it; empty when nobody did or the text says so itself."""
        return self.name if self.name and self.name not in self.text else ""

    @property
    def sentence(self) -> str:
        """What happened, with who did it and how often."""
        told = f"{self.actor} {self.text}" if self.actor else self.text
        return f"{self.repeats}{told}"

    @property
    def repeats(self) -> str:
        """Such as "300 times since 10:02, last: ", in local time; empty for a single event."""
        if self.since is None:
            return ""
        return f"{self.count} times since {strftime('%H:%M', localtime(self.since))}, last: "


class Traffic(Model, frozen=True, kw_only=True):
    """All clients together."""

    received: int
    sent: int
    receive_rate: float
    send_rate: float
    seconds_received: list[int]
    """60 values, one a second, oldest first."""
    seconds_sent: list[int]
    minutes_received: list[int]
    """Up to 1440 values, one a minute, oldest first."""
    minutes_sent: list[int]


class Snapshot(Model, frozen=True, kw_only=True):
    """Everything at one moment."""

    taken_at: float
    share: ShareView
    relay: RelayView
    url: Strings
    traffic: Traffic
    pending: list[Pending] = []
    clients: list[ClientView] = []
    forwards: list[Forward] = []
    ports: list[ListeningPort] = []
    invites: list[InviteView] = []
    people: list[PersonView] = []
    terminals: list[TerminalView] = []
    roles: list[str] = []
    log: list[LogEntry] = []
    """The newest entries, oldest first, at most 200."""


class Approve(Model, frozen=True, kw_only=True):
    """POST /v1/requests/{id}/approve."""

    role: str | None = None
    remember: bool = False
    """True: this key is known from now on."""
    name: str | None = None
    """What to call them from now on."""


class Deny(Model, frozen=True, kw_only=True):
    """POST /v1/requests/{id}/deny."""

    block: bool = False


class Kick(Model, frozen=True, kw_only=True):
    """POST /v1/clients/{id}/kick and /v1/clients/kick-all."""

    message: str = ""
    block: bool = False


class ChangeRole(Model, frozen=True, kw_only=True):
    """POST /v1/clients/{id}/role."""

    role: str


class Say(Model, frozen=True, kw_only=True):
    """POST /v1/clients/{id}/message: a line shown in the client's terminals."""

    text: str


class Rotate(Model, frozen=True, kw_only=True):
    """POST /v1/rotate."""

    kick: bool = False


class Lock(Model, frozen=True, kw_only=True):
    """PUT /v1/lock."""

    locked: bool


class NewInvite(Model, frozen=True, kw_only=True):
    """POST /v1/invites."""

    name: str
    role: str = "developer"
    landing: str = "shell"
    expires_in: float | None = 86400.0
    uses: int | None = 1
    bind_first_key: bool = True


class EditPerson(Model, frozen=True, kw_only=True):
    """PATCH /v1/people/{fingerprint}; absent fields stay."""

    name: str | None = None
    role: str | None = None
    blocked: bool | None = None


class Setting(Model, frozen=True, kw_only=True):
    """GET /v1/settings: one row per key, with where its value came from."""

    key: str
    value: SettingValue
    """None where nothing is set, and for a secret."""
    origin: SettingOrigin
    where: str
    """The file, variable or flag that set it; empty for a default."""
    help: str
    live: bool
    """Whether PUT /v1/settings/{key} changes it without a restart."""
    is_span: bool = False
    """Whether the value is a span of time, in seconds."""

    @property
    def text(self) -> str:
        """The value as it is written on the command line; empty for none."""
        if self.value is None:
            return ""
        if isinstance(self.value, list):
            return ", ".join(self.value)
        if self.is_span and isinstance(self.value, int | float):
            return written(self.value)
        return str(self.value)


class ChangeSetting(Model, frozen=True, kw_only=True):
    """PUT /v1/settings/{key}."""

    value: SettingValue


class Check(Model, frozen=True, kw_only=True):
    """One line of `uptui doctor` and of the TUI's connection test."""

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    detail: str
    hint: str = ""
    took_ms: float | None = None


class HostProblem(Model, frozen=True, kw_only=True):
    """application/problem+json, RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
