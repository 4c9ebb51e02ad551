"""A real relay API on loopback, its store on SQLite and on a PostgreSQL server of our own."""

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import httpx
import pytest
import uvicorn
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from uptui.protocol import sshsig
from uptui.protocol.control import WithdrawalReason
from uptui.protocol.login import Origin, Statement
from uptui.protocol.relay_api import NAMESPACE
from uptui.relay.accounts.admin_token import read_admin_token
from uptui.relay.api.app import make_app
from uptui.relay.live import LiveHost, OwnerNow
from uptui.relay.services import ApiSettings, RelayServices
from uptui.relay.store import Database, open_database, parse_database

DEADLINE = 30.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Registry:
    """Connected hosts as a test wants them."""

    hosts: list[LiveHost] = field(default_factory=list[LiveHost])
    disconnected: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    closed: list[str] = field(default_factory=list[str])

    def live_hosts(self) -> Sequence[LiveHost]:
        return self.hosts

    def is_online(self, name: str) -> bool:
        return any(name in host.aliases for host in self.hosts)

    async def disconnect(self, session_id: str, message: str) -> bool:
        known = any(host.session_id == session_id for host in self.hosts)
        if known:
            self.disconnected.append((session_id, message))
        return known

    async def withdraw(self, name: str, reason: WithdrawalReason, owner: OwnerNow) -> None:
        self.closed.append(name)


class Key:
    """An identity key in a test's hand."""

    def __init__(self, kind: str = "ssh-ed25519", signature: bytes | None = None) -> None:
        self.key = asyncssh.generate_private_key(kind)  # pyright: ignore[reportUnknownMemberType]
        self._signature = signature or kind.encode()
        self.text = self.key.export_public_key().decode().strip()
        self.fingerprint = self.key.get_fingerprint()

    def sign(self, message: bytes, namespace: str = NAMESPACE) -> str:
        return sshsig.sign(
            namespace,
            message,
            self.key.public_data,
            lambda data: self.key.sign(data, self._signature),
        )


@dataclass
class Api:
    """A served relay API and a client of it."""

    services: RelayServices
    client: httpx.AsyncClient
    url: str
    clock: Clock
    live: Registry
    admin: dict[str, str]

    async def nonce(self, key: Key) -> str:
        asked = await self.client.post("/v1/challenges", json={"identity": key.text})
        return str(asked.raise_for_status().json()["nonce"])

    def proof(
        self, key: Key, nonce: str, namespace: str = NAMESPACE, *, signer: Key | None = None
    ) -> dict[str, str | None]:
        """What `key` sends to log in here, signed by `signer`, itself otherwise."""
        said = Statement(nonce, Origin.parse(self.url), b"")
        signature = (signer or key).sign(said.signed(), namespace)
        origin = str(said.origin)
        return {"identity": key.text, "nonce": nonce, "origin": origin, "signature": signature}

    async def login(self, key: Key, join_token: str | None = None) -> httpx.Response:
        body = self.proof(key, await self.nonce(key)) | {"join_token": join_token}
        return await self.client.post("/v1/credentials", json=body)

    async def bearer(self, key: Key, join_token: str | None = None) -> dict[str, str]:
        response = (await self.login(key, join_token)).raise_for_status()
        return {"Authorization": f"Bearer {response.json()['access_token']}"}


def _postgres_bin() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("these tests need Debian's package postgresql")
    return found[-1].parent


def _unprivileged() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


@pytest.fixture(scope="session")
def postgresql() -> Generator[str]:
    """A PostgreSQL server of our own on a Unix socket; yields its URL without a database."""
    binaries = _postgres_bin()
    user = _unprivileged()
    place = Path(tempfile.mkdtemp(prefix="uptui-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(place, user)
    data = place / "data"
    quiet = subprocess.DEVNULL
    initdb = [binaries / "initdb", "-D", data, "-U", "relay", "-A", "trust", "-N", "-E", "UTF8"]
    subprocess.run(initdb, check=True, stdout=quiet, user=user, cwd=place)
    settings = ["-k", str(place), "-h", "", "-F", "-c", "max_connections=50"]
    server = subprocess.Popen(
        [binaries / "postgres", "-D", data, *settings],
        stdout=quiet,
        stderr=quiet,
        user=user,
        cwd=place,
    )
    try:
        ready = [binaries / "pg_isready", "-h", place, "-U", "relay", "-t", "1"]
        for _ in range(100):
            if subprocess.run(ready, check=False, stdout=quiet).returncode == 0:
                break
            assert server.poll() is None, "PostgreSQL did not start"
        else:
            pytest.fail("PostgreSQL does not answer")
        yield f"postgresql://relay@/{{database}}?host={place}"
    finally:
        server.terminate()
        server.wait(DEADLINE)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[str]:
    """`--database` of an empty database, once per kind."""
    if request.param == "sqlite":
        yield str(tmp_path / "relay.db")
        return
    template: str = request.getfixturevalue("postgresql")
    name = f"t{uuid.uuid4().hex}"
    await _run_sql(template, f"CREATE DATABASE {name}")
    yield template.format(database=name)
    await _run_sql(template, f"DROP DATABASE {name} WITH (FORCE)")


async def _run_sql(template: str, statement: str) -> None:
    engine = create_async_engine(
        parse_database(template.format(database="postgres")).render_as_string(False),
        isolation_level="AUTOCOMMIT",
    )
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    """An open store."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def served(settings: ApiSettings) -> AsyncGenerator[Api]:
    """The API of these settings on a port of its own, really listening."""
    clock, live = Clock(), Registry()
    services = await RelayServices.open(settings, live, clock)
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    config = uvicorn.Config(
        make_app(services), lifespan="off", log_config=None, ws="none", proxy_headers=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://{host}:{port}"
    token = read_admin_token(settings.state_dir)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE, trust_env=False) as client:
            admin = {"Authorization": f"Bearer {token}"}
            yield Api(services, client, url, clock, live, admin)
    finally:
        server.should_exit = True
        await serving
        listener.close()
        await services.close()


ServeApi = Callable[..., contextlib.AbstractAsyncContextManager[Api]]


@pytest.fixture
def serve(tmp_path: Path, database_url: str) -> ServeApi:
    """Serve an API with these extra ApiSettings, on each kind of database."""

    def make(**extra: object) -> contextlib.AbstractAsyncContextManager[Api]:
        settings = ApiSettings(tmp_path / "state", database_url, **extra)  # type: ignore[arg-type]
        return served(settings)

    return make


@pytest.fixture
async def api(serve: ServeApi) -> AsyncGenerator[Api]:
    """An open relay with ten direct ports."""
    from uptui.relay.accounts.alias_service import NameSettings

    async with serve(names=NameSettings(ports=range(20000, 20010))) as running:
        yield running
