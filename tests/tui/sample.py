"""One share with everything in it, at one moment: what the TUI's tests and pictures show."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from uptui.client import Event, HostClient
from uptui.protocol.host_aliases import AliasAvailability, AliasView
from uptui.protocol.host_api import (
    ChannelView,
    Check,
    ClientView,
    EditPerson,
    Forward,
    InviteView,
    JumpWay,
    ListeningPort,
    LogEntry,
    NewInvite,
    Pending,
    PersonView,
    PlainWay,
    PortWay,
    ReconnectEntry,
    RelayView,
    Setting,
    SettingValue,
    ShareView,
    Snapshot,
    Strings,
    TerminalView,
    Traffic,
    Transfer,
    Ways,
)
from uptui.protocol.names import ClientId, Fingerprint, RequestId, RouteName

NOW = 1_780_000_000.0
TOKEN = RouteName("k7qz2mwv5xhd3ntrb4ycejgfpa")
INVITE = RouteName("inv-p3rs7kdm2v")
INVITE_USER = f"{INVITE}-qx6hzn4wtbyjgcfap3rs7kdm2v"
HOST = Fingerprint("SHA256:q1W8hJ0rX5n3VtZk2mYb7cLd9sFg4pAe6uRiOxTwNQk")
ALICE = Fingerprint("SHA256:9fKmT3vYq8sWc1ZpL6hXb2nRd5uGj7eAo4iQkxMwVtE")
BOB = Fingerprint("SHA256:Zp4Lh7uTq2sXm9vKc6nRb1yWd8gFj3eAo5iQkxMwVtM")


def wave(length: int, scale: float, shift: int = 0) -> list[int]:
    """A lively, repeatable series."""
    return [int(scale * ((i * 7 + shift) % 13 + (i * 3 + shift) % 5) / 16) for i in range(length)]


STRINGS = Strings(
    name="demo-box",
    host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoDemoDemoDemoDemoDemoDemoDemoDemo",
    ways=Ways(
        port=PortWay(host="relay.example", port=20017, user="dev"),
        jump=JumpWay(host="relay.example", port=2222, user="jump", target="demo-box"),
        plain=PlainWay(host="relay.example", port=2222, user="demo-box"),
    ),
    strings={
        "ssh": "ssh -p 20017 relay.example",
        "ssh-jump": f"ssh -J jump@relay.example:2222 {TOKEN}",
        "ssh-plain": f"ssh -p 2222 {TOKEN}@relay.example",
        "scp": "scp -P 20017 FILE relay.example:",
        "sftp": "sftp -P 20017 relay.example",
        "vscode": "vscode://vscode-remote/ssh-remote+relay.example:20017/",
        "code": "code --remote ssh-remote+relay.example:20017",
    },
)


def client(name: str, number: int, **changes: Any) -> ClientView:
    """Somebody connected; `changes` replace fields."""
    one = ClientView(
        id=ClientId(f"c{number:05d}"),
        name=name,
        user=name,
        fingerprint=BOB if name == "bob" else Fingerprint(f"SHA256:{name}{number}{'x' * 32}"),
        verification="proved",
        verified_by="authorized_keys",
        role="developer",
        address=f"203.0.113.{number}",
        program="VS Code",
        way="port",
        route=RouteName("demo-box"),
        since=NOW - 720 * number,
        last_activity=NOW - 90 * (number - 1),
        received=12_400_000 // number,
        sent=3_100_000 // number,
        receive_rate=11_000.0 / number,
        send_rate=3_000.0 / number,
        rate_history=[float(value) for value in wave(60, 14_000, number * 3)],
        cipher="aes128-gcm@openssh.com",
        kex="curve25519-sha256",
        channels=[
            ChannelView(
                id=0, kind="exec", detail="bash", opened_at=NOW - 700, received=42, sent=910
            ),
            ChannelView(
                id=1, kind="forward-local", detail="127.0.0.1:41235", opened_at=NOW - 690,
                received=11_900_000, sent=2_900_000,
            ),
        ],
        transfers=[
            Transfer(
                path="/home/dev/app.tar.gz", direction="upload", bytes=48_000_000,
                started_at=NOW - 300, finished_at=NOW - 291,
            ),
            Transfer(
                path="/home/dev/video.mp4", direction="download", bytes=220_000_000,
                started_at=NOW - 20,
            ),
        ],
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


CLIENTS = [
    client("bob", 1),
    client("carol", 2, role="pair", program="OpenSSH 9.9", way="jump"),
    client("dave", 3, role="viewer", program="PuTTY", way="plain", verification="vouched"),
]
PENDING = Pending(
    id=RequestId("raaaaa"),
    client_id=ClientId("c00009"),
    name="alice",
    user="alice",
    fingerprint=ALICE,
    verification="proved",
    address="198.51.100.7",
    program="VS Code",
    way="port",
    wants="exec: bash",
    role="developer",
    invite=None,
    asked_at=NOW - 18,
    expires_at=NOW + 42,
)
LOG = [
    LogEntry(n=1, at=NOW - 900, level="notice", event="share.started", text="Sharing started"),
    LogEntry(n=2, at=NOW - 720, level="info", event="client.joined", text="bob joined by key",
             client_id=ClientId("c00001"), name="bob"),
    LogEntry(n=3, at=NOW - 690, level="info", event="forward.opened", text="bob forwards 3000",
             client_id=ClientId("c00001"), name="bob"),
    LogEntry(n=4, at=NOW - 500, level="warning", event="relay.lost",
             text="The relay was lost: connection reset"),
    LogEntry(n=5, at=NOW - 496, level="notice", event="relay.up", text="The relay is back"),
    LogEntry(n=6, at=NOW - 120, level="error", event="file.failed",
             text="carol could not write /etc/hosts: permission denied"),
    LogEntry(n=7, at=NOW - 18, level="notice", event="request.waiting", text="alice waits"),
]  # fmt: skip
INVITES = [
    InviteView(
        route=INVITE, name="alice", role="developer", landing="shell", uses_left=1, used=0,
        created_at=NOW - 3600, expires_at=NOW + 82_800, bind_first_key=True, bound_to=None,
        state="active",
        strings={
            "text": f"ssh -p 2222 {INVITE_USER}@relay.example",
            "ssh": f"ssh -p 2222 {INVITE_USER}@relay.example",
        },
    ),
    InviteView(
        route=RouteName("inv-" + "b" * 10), name="class", role="viewer", landing="shared",
        uses_left=None, used=12, created_at=NOW - 90_000, expires_at=None, bind_first_key=False,
        bound_to=None, state="active",
    ),
    InviteView(
        route=RouteName("inv-" + "c" * 10), name="temp", role="pair", landing="command: htop",
        uses_left=0, used=1, created_at=NOW - 90_000, expires_at=NOW - 60, bind_first_key=True,
        bound_to=BOB, state="used-up",
    ),
]  # fmt: skip
SETTINGS = [
    Setting(key="access.unknown", value="ask", origin="default", where="", live=True,
            help="What happens to a key that nobody knows: ask, deny or accept."),
    Setting(key="access.e2e_only", value=False, origin="file", where="/etc/uptui/config.toml",
            live=True, help="Refuse the plain way, which the relay can read."),
    Setting(key="relay.url", value="https://relay.example", origin="env", where="UPTUI_RELAY",
            live=False, help="The relay to register with; empty runs one on this machine."),
    Setting(key="access.authorized_keys", value=["~/.ssh/authorized_keys"], origin="flag",
            where="--authorized-keys", live=False, help="Files of keys that are known."),
]  # fmt: skip


def snapshot(**changes: Any) -> Snapshot:
    """The whole share; `changes` replace fields."""
    whole = Snapshot(
        taken_at=NOW,
        share=ShareView(
            name="default", hostname="container-1", os_user="dev", version="0.1.0", pid=4242,
            started_at=NOW - 900, status="sharing", fingerprint=HOST, alias="demo-box",
            token=TOKEN, token_rotates_at=NOW + 11_520, locked=False, e2e_only=False,
            unknown="ask",
        ),
        relay=RelayView(
            url="https://relay.example", embedded=False, status="up", since=NOW - 496,
            rtt_ms=38.2, rtt_history=[float(30 + value) for value in wave(60, 30)],
            transport="tcp", transport_reason="the stream port answers", software="uptui 0.1.0",
            reconnects=[ReconnectEntry(at=NOW - 500, reason="connection reset by peer", lasted=4)],
        ),
        url=STRINGS,
        traffic=Traffic(
            received=150_000_000, sent=22_000_000, receive_rate=1_200_000.0, send_rate=90_000.0,
            seconds_received=wave(60, 3_100_000), seconds_sent=wave(60, 190_000, 5),
            minutes_received=wave(300, 60_000_000), minutes_sent=wave(300, 4_000_000, 5),
        ),
        pending=[PENDING],
        clients=CLIENTS,
        forwards=[
            Forward(client_id=ClientId("c00001"), client_name="bob", direction="local", listen="",
                    target="127.0.0.1:3000", connections=2, total_connections=9,
                    received=11_900_000, sent=2_900_000),
            Forward(client_id=ClientId("c00002"), client_name="carol", direction="remote",
                    listen="127.0.0.1:8080", target="", connections=0, total_connections=3,
                    received=1200, sent=90_000),
        ],
        ports=[
            ListeningPort(port=3000, address="127.0.0.1", process="node", pid=311),
            ListeningPort(port=5432, address="127.0.0.1", process="postgres", pid=87),
        ],
        invites=INVITES,
        people=[
            PersonView(fingerprint=BOB, key="ssh-ed25519 AAAA", name="bob", role="developer",
                   blocked=False, source="authorized_keys", first_seen=NOW - 864_000,
                   last_seen=NOW - 5),
            PersonView(fingerprint=Fingerprint("SHA256:" + "m" * 43), key="ssh-ed25519 BBBB",
                   name="mallory", role="viewer", blocked=True, source="approved",
                   first_seen=NOW - 99_000, last_seen=NOW - 98_000),
        ],
        terminals=[
            TerminalView(id="t1", kind="shared", owner="dev", title="vim main.py", command="bash",
                     started_at=NOW - 400, columns=120, rows=40, viewers=3, typists=1),
            TerminalView(id="t2", kind="kept", owner="carol", title="make test", command="bash",
                     started_at=NOW - 9000, columns=80, rows=24, viewers=0, typists=0,
                     detached_at=NOW - 60, ends_at=NOW + 43_100),
        ],
        roles=["viewer", "pair", "developer"],
        log=LOG,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


EMPTY = snapshot(
    pending=[], clients=[], forwards=[], ports=[], invites=[], people=[], terminals=[], log=[]
)


class SampleClient(HostClient):
    """Answers like a host that has `snapshot`, and writes down every act."""

    def __init__(self, first: Snapshot) -> None:
        super().__init__(Path("/nonexistent/api.sock"))
        self.now = first
        self.calls: list[tuple[Any, ...]] = []
        self._feed: list[Event | BaseException] = [first]
        self._wake: Any = None

    def push(self, event: Event | BaseException) -> None:
        """Send an event, or end the stream with an error."""
        self._feed.append(event)
        if self._wake is not None:
            self._wake.set()

    async def events(self) -> AsyncIterator[Event]:
        import asyncio

        self._wake = asyncio.Event()
        while True:
            while self._feed:
                event = self._feed.pop(0)
                if isinstance(event, BaseException):
                    raise event
                yield event
            self._wake.clear()
            await self._wake.wait()

    async def approve(
        self,
        request: RequestId,
        *,
        role: str | None = None,
        remember: bool = False,
        name: str | None = None,
    ) -> None:
        self.calls.append(("approve", request, role, remember, name))

    async def deny(self, request: RequestId, *, block: bool = False) -> None:
        self.calls.append(("deny", request, block))

    async def kick(self, client: ClientId, *, message: str = "", block: bool = False) -> None:
        self.calls.append(("kick", client, block))

    async def kick_all(self, *, message: str = "", block: bool = False) -> None:
        self.calls.append(("kick_all",))

    async def change_role(self, client: ClientId, role: str) -> None:
        self.calls.append(("change_role", client, role))

    async def say(self, client: ClientId, text: str) -> None:
        self.calls.append(("say", client, text))

    async def rotate(self, *, kick: bool = False) -> Strings:
        self.calls.append(("rotate", kick))
        return STRINGS

    async def lock(self, *, locked: bool = True) -> None:
        self.calls.append(("lock", locked))

    async def invite(self, new: NewInvite) -> InviteView:
        self.calls.append(("invite", new))
        return INVITES[0]

    async def revoke(self, route: RouteName) -> None:
        self.calls.append(("revoke", route))

    async def edit_person(self, fingerprint: Fingerprint, change: EditPerson) -> None:
        self.calls.append(("edit_person", fingerprint, change))

    async def forget_person(self, fingerprint: Fingerprint) -> None:
        self.calls.append(("forget_person", fingerprint))

    async def settings(self) -> list[Setting]:
        return SETTINGS

    async def change_setting(self, key: str, value: SettingValue) -> None:
        self.calls.append(("change_setting", key, value))

    async def log(self, *, limit: int = 200) -> list[LogEntry]:
        return LOG

    async def doctor(self) -> list[Check]:
        return [
            Check(name="DNS", status="ok", detail="relay.example is 192.0.2.1", took_ms=4.0),
            Check(name="proxy", status="skipped", detail="no proxy is set"),
            Check(name="TLS", status="ok", detail="TLS 1.3, valid for 61 days", took_ms=41.0),
            Check(name="clock", status="warning", detail="2.1 s behind", hint="run an NTP client"),
            Check(name="SSH", status="failed", detail="port 2222 refuses",
                  hint="use the direct port", took_ms=3.0),
        ]  # fmt: skip

    async def aliases(self) -> list[AliasView]:
        return [
            AliasView(name="demo-box", port=20017, created_at=NOW - 9e5, last_used_at=NOW,
                  expires_at=NOW + 7_776_000, online=True, serving=True),
            AliasView(name="old-box", port=None, created_at=NOW - 9e6, last_used_at=NOW - 9e5,
                  expires_at=NOW + 864_000, online=False, serving=False),
        ]  # fmt: skip

    async def alias_available(self, name: str) -> AliasAvailability:
        if name == "taken":
            return AliasAvailability(
                name=name, available=False, reason="somebody owns it", suggestions=["taken-2"]
            )
        return AliasAvailability(name=name, available=True)

    async def set_alias(self, name: str | None) -> Strings:
        self.calls.append(("set_alias", name))
        return STRINGS

    async def release_alias(self, name: str) -> None:
        self.calls.append(("release_alias", name))

    async def reconnect(self) -> None:
        self.calls.append(("reconnect",))

    async def stop(self) -> None:
        self.calls.append(("stop",))
