"""Every setting once: its section, type, default, help, and how its text is read.

A field of these classes is a key of config.toml (`[host] approval_timeout = "2m"`), an environment
variable (`UPTUI_APPROVAL_TIMEOUT`; the sections tui and relay have theirs in the name:
`UPTUI_RELAY_HTTP`) and, unless `flag` is off, a flag (`--approval-timeout`).
"""

# ruff: noqa: RUF009 - setting() returns a dataclass field
from dataclasses import dataclass
from typing import Final

from uptui.config import values as v
from uptui.config.option import Section, options_of, setting


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """[host]: the share."""

    relay: str | None = setting(
        None,
        v.optional(v.relay_url),
        "Relay to be reached through; without one, a relay of our own "
        "runs on loopback. #sha256=HEX after it pins its certificate.",
        metavar="URL",
    )
    listen: v.Address | None = setting(
        None,
        v.optional(v.address(0)),
        "Where the relay of our own listens for SSH clients, such as "
        "0.0.0.0:2222; loopback otherwise.",
        metavar="ADDR",
    )
    listen_ports: v.PortRange | None = setting(
        None,
        v.optional(v.port_range),
        "Direct ports of the relay of our own; chosen by the system otherwise.",
        metavar="FIRST-LAST",
    )
    public_host: str | None = setting(
        None,
        v.optional(v.host),
        "Name by which clients reach the relay of our own.",
        metavar="HOST",
    )
    alias: str | None = setting(
        None,
        v.optional(v.alias),
        "Lasting name to claim on the relay and to be reached by.",
        metavar="NAME",
    )
    authorized_keys: tuple[str, ...] = setting(
        (),
        v.many(v.key_source),
        "Keys to let in without asking: an authorized_keys file, github:USER or gitlab:USER.",
        metavar="SOURCE",
        live=True,
    )
    unknown: str = setting(
        "ask",
        v.choice("ask", "deny", "accept"),
        "What to do with a key that is not known.",
        metavar="ask|deny|accept",
        live=True,
    )
    default_role: str = setting(
        "developer",
        v.one_line,
        "Role of authorized keys and of whoever is approved.",
        metavar="ROLE",
        live=True,
    )
    landing: str = setting(
        "shell",
        v.landing,
        "What a shell request gets: shell, shared or 'command: ...'.",
        metavar="LANDING",
        live=True,
    )
    approval_timeout: float = setting(
        120.0,
        v.wait,
        "Time to answer a request; no answer means no.",
        metavar="DURATION",
        live=True,
    )
    e2e_only: bool = setting(
        False,
        v.boolean,
        "Refuse the plain way, on which the relay can read the session.",
        live=True,
    )
    plain_invites: bool = setting(
        False,
        v.boolean,
        "Take invites on the plain way too, where the relay can read and use them.",
        live=True,
    )
    locked: bool = setting(False, v.boolean, "Start with new joins refused.", flag=False)
    rotate_every: float | None = setting(
        None, v.off_duration, "Replace the session token this often.", metavar="DURATION", live=True
    )
    identity: str | None = setting(
        None,
        v.optional(v.identity),
        "Private key that is the host key and owns the aliases: a "
        "path, or (in the environment) the key itself.",
        metavar="PATH",
        secret=True,
    )
    host_keys: tuple[str, ...] = setting(
        (),
        v.many(v.absolute_path),
        "Further host keys to show: files with an RSA key, say.",
        metavar="PATH",
    )
    cwd: str | None = setting(
        None,
        v.optional(v.absolute_path),
        "Directory that sessions start in; home otherwise.",
        metavar="DIR",
    )
    shell: str | None = setting(
        None,
        v.optional(v.path),
        "Shell of the sessions; the login shell otherwise.",
        metavar="PATH",
    )
    accept_env: tuple[str, ...] = setting(
        (),
        v.many(v.one_line),
        "Further variables that clients may set; * matches any text.",
        metavar="PATTERN",
    )
    cut_output: float | None = setting(
        None,
        v.off_duration,
        "Silence after which a command that has ended is over though a program that it left "
        "behind holds its output open; off waits for the end of its output, as sshd does.",
        metavar="DURATION",
    )
    keep_shells: float = setting(
        43200.0,
        v.duration,
        "How long a shell is kept whose client vanished; 0 keeps none.",
        metavar="DURATION",
        live=True,
    )
    keep_shells_max: int = setting(
        20,
        v.number(0, 1000),
        "Most shells that are kept.",
        metavar="N",
    )
    max_clients: int = setting(
        1000,
        v.number(1, 100_000),
        "Most connections that are in or wait to be let in; an editor makes several.",
        metavar="N",
        live=True,
    )
    terminal_size: str = setting(
        "host",
        v.choice("host", "smallest", "typist"),
        "Whose window sets the size of the shared terminal.",
        metavar="host|smallest|typist",
        live=True,
    )
    record: bool = setting(
        False,
        v.boolean,
        "Record the shared terminal as asciicast in the state directory; viewers are told.",
        live=True,
    )
    stop_if_unused: float | None = setting(
        None,
        v.off_duration,
        "Stop when nobody was connected for so long.",
        metavar="DURATION",
        live=True,
    )
    stop_if_idle: float | None = setting(
        None,
        v.off_duration,
        "Stop when nobody did anything for so long.",
        metavar="DURATION",
        live=True,
    )
    stop_at: float | None = setting(
        None,
        v.optional(v.moment),
        "Stop at this time, such as 18:00 or 2026-01-31T18:00.",
        metavar="TIME",
        live=True,
    )
    join_token: str | None = setting(
        None,
        v.optional(v.secret),
        "What the relay asks for before it lets us host; @FILE reads it from a file.",
        metavar="TOKEN|@FILE",
        secret=True,
    )
    proxy: str | None = setting(
        None,
        v.optional(v.proxy_url),
        "HTTP proxy to the relay; HTTPS_PROXY otherwise; none for none.",
        metavar="URL",
        secret=True,
    )
    transport: str = setting(
        "auto",
        v.choice("auto", "tcp", "websocket"),
        "How streams reach the relay.",
        metavar="auto|tcp|websocket",
    )
    ca_file: str | None = setting(
        None,
        v.optional(v.absolute_path),
        "Certificates to trust besides the system's.",
        metavar="PATH",
    )
    trust: str = setting(
        "authorities",
        v.choice("authorities", "first-use"),
        "Whom to believe that it is the relay: certificate authorities, or besides them the "
        "certificate seen first.",
        metavar="authorities|first-use",
    )
    allow_http: bool = setting(
        False, v.boolean, "Use plain http even to a relay at a public address."
    )
    banner: str = setting("", v.text, "Shown by clients before they are let in.", flag=False)
    keepalive: float = setting(
        30.0,
        v.duration,
        "Silence after which a client is asked for a sign of life; 0 never asks.",
        metavar="DURATION",
        flag=False,
    )
    ports_ignore: tuple[int, ...] = setting(
        (),
        v.many(v.number(1, 65535)),
        "Listening ports that are not shown.",
        metavar="PORT",
        flag=False,
        live=True,
    )
    busy_poll: bool = setting(
        True,
        v.boolean,
        "Look for the next message for up to 0.2 ms before sleeping, while they come that fast.",
        flag=False,
    )


@dataclass(frozen=True, kw_only=True)
class TuiSettings:
    """[tui]: the terminal interface; keys are remapped in the table [tui.keys]."""

    ascii: str = setting(
        "auto",
        v.choice("auto", "always", "never"),
        "Draw with ASCII only; auto asks the locale.",
        metavar="auto|always|never",
        flag=False,
    )
    privacy: bool = setting(False, v.boolean, "Start with addresses and tokens hidden.")
    bell: bool = setting(
        True, v.boolean, "Ring the bell when somebody asks to come in.", flag=False
    )
    theme: str | None = setting(
        None, v.optional(v.one_line), "Textual theme.", metavar="NAME", flag=False
    )


@dataclass(frozen=True, kw_only=True)
class RelaySection:
    """[relay]: `uptui relay`."""

    http: v.Address = setting(
        v.Address(v.EVERYWHERE, 8080),
        v.address(),
        "HTTP API, control channels and streams.",
        metavar="ADDR",
    )
    ssh: v.Address | None = setting(
        v.Address(v.EVERYWHERE, 2222),
        v.optional(v.address()),
        "SSH gateway (jump and plain); off for none.",
        metavar="ADDR",
    )
    ports: v.PortRange | None = setting(
        None, v.optional(v.port_range), "Direct ports, one for each name.", metavar="FIRST-LAST"
    )
    ports_host: str | None = setting(
        None,
        v.optional(v.host),
        "Address on which the direct ports listen; that of http otherwise.",
        metavar="HOST",
        flag=False,
    )
    public_host: str | None = setting(
        None,
        v.optional(v.host),
        "Name by which clients reach this relay; the host name otherwise.",
        metavar="HOST",
    )
    public_ssh_port: int | None = setting(
        None,
        v.optional(v.number(1, 65535)),
        "Port of the SSH gateway as clients see it, when a port mapping changes it.",
        metavar="PORT",
    )
    streams: v.Address | None = setting(
        None,
        v.optional(v.address()),
        "Where hosts dial back to when a port mapping changes it.",
        metavar="ADDR",
    )
    origin: tuple[str, ...] = setting(
        (),
        v.many(v.origin),
        "Further address by which hosts reach this relay, such as https://relay.example: that of "
        "a proxy in front, or of a mapped port.",
        metavar="URL",
    )
    websocket_only: bool = setting(
        False, v.boolean, "Tell hosts to use WebSockets: a proxy in front speaks only HTTP."
    )
    state: str | None = setting(
        None,
        v.optional(v.absolute_path),
        "State directory: keys and the SQLite store.",
        metavar="DIR",
    )
    single: v.Address | None = setting(
        None,
        v.optional(v.address()),
        "Serve HTTP, streams and SSH on this one address.",
        metavar="ADDR",
    )
    database: str | None = setting(
        None,
        v.optional(v.one_line),
        "SQLAlchemy URL of the store; SQLite in the state directory otherwise.",
        metavar="URL",
        secret=True,
    )
    hosting: str = setting(
        "open",
        v.choice("open", "join-token", "keys", "accounts"),
        "Who may host.",
        metavar="open|join-token|keys|accounts",
    )
    join_token: str | None = setting(
        None,
        v.optional(v.one_line),
        "Token that lets a host join (hosting = join-token).",
        metavar="TOKEN",
        secret=True,
    )
    hosting_keys: str | None = setting(
        None,
        v.optional(v.absolute_path),
        "authorized_keys file of the identities that may host (hosting = keys).",
        metavar="PATH",
    )
    tls_cert: str | None = setting(
        None, v.optional(v.absolute_path), "Certificate chain (PEM) for HTTPS.", metavar="PATH"
    )
    tls_key: str | None = setting(
        None, v.optional(v.absolute_path), "Private key (PEM) for HTTPS.", metavar="PATH"
    )
    self_signed: bool = setting(
        False,
        v.boolean,
        "Serve HTTPS with a certificate made here; hosts join by its fingerprint.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        v.many(v.one_line),
        "Addresses or networks whose X-Forwarded-For and PROXY headers are believed.",
        metavar="ADDR",
    )
    public_metrics: bool = setting(
        False, v.boolean, "Show /metrics to everybody, not only to loopback and tokens."
    )
    message: str = setting("", v.one_line, "A word to every host that connects.", flag=False)
    alias_ttl: float = setting(
        90 * 86400.0,
        v.wait,
        "How long an unused alias is kept.",
        metavar="DURATION",
        flag=False,
    )
    max_sessions: int = setting(
        20, v.number(1, 1_000_000), "Most hosts of one owner at once.", metavar="N", flag=False
    )
    max_aliases: int = setting(
        20, v.number(0, 1_000_000), "Most aliases of one owner.", metavar="N", flag=False
    )
    max_ports: int = setting(
        40, v.number(0, 65535), "Most direct ports of one owner.", metavar="N", flag=False
    )
    max_ports_per_source: int | None = setting(
        None,
        v.optional(v.number(0, 65535)),
        "Most direct ports of strangers from one address; by default two thirds of them.",
        metavar="N",
        flag=False,
    )
    token_port_ttl: float = setting(
        600.0,
        v.wait,
        "How long a token's direct port is kept for a host that is away.",
        metavar="DURATION",
        flag=False,
    )
    max_streams: int = setting(
        1000, v.number(1, 1_000_000), "Most clients of one host at once.", metavar="N", flag=False
    )
    max_bytes_per_month: int | None = setting(
        None, v.optional(v.size), "Most bytes of one owner a month.", metavar="SIZE", flag=False
    )
    rate: int | None = setting(
        None,
        v.optional(v.size),
        "Most bytes a second of all sessions together, shared fairly.",
        metavar="SIZE",
    )
    takeover: bool = setting(
        False,
        v.boolean,
        "Take the sockets of the relay that runs with the same state directory, which then drains.",
    )
    drain_timeout: float = setting(
        30.0, v.duration, "Time for open sessions to end when the relay stops.", metavar="DURATION"
    )
    busy_poll: bool = setting(
        True,
        v.boolean,
        "Look for the next message for up to 0.2 ms before sleeping, while they come that fast.",
        flag=False,
    )
    log_level: str = setting(
        "INFO",
        v.choice("DEBUG", "INFO", "WARNING", "ERROR"),
        "Least level of what is logged, as JSON lines on stderr.",
        metavar="LEVEL",
    )


SECTIONS: Final[dict[Section, type[HostSettings] | type[TuiSettings] | type[RelaySection]]] = {
    "host": HostSettings,
    "tui": TuiSettings,
    "relay": RelaySection,
}

OPTIONS: Final = {
    option.key: option for section, kind in SECTIONS.items() for option in options_of(section, kind)
}
"""Every setting by its key, such as "host.relay"."""
