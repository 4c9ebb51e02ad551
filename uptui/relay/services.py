"""Everything behind the relay's API in one place: store, authority, names, policy, metrics.

The data path opens it once, hands its registry over as `live`, asks `authority`, `policy` and
`ports`, and reports to `metrics` and `usage`. `run` does the housekeeping.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from uptui import __version__
from uptui.errors import StateError
from uptui.protocol.relay_api import RelayInfo
from uptui.relay import logs
from uptui.relay.accounts.admin_token import ensure_admin_token
from uptui.relay.accounts.alias_service import AliasService, NameSettings
from uptui.relay.accounts.auth import Authority, Hosting
from uptui.relay.accounts.publishing import PublishPolicy, StoredPorts
from uptui.relay.accounts.usage_meter import UsageMeter
from uptui.relay.live import LiveHosts
from uptui.relay.metrics import Metrics
from uptui.relay.store import Database, hosts, open_database, ports, usage

HOUSEKEEPING_INTERVAL: Final = 60.0
KEEP_USAGE: Final = 400 * 86400.0
"""Seconds that monthly figures are kept."""
DATABASE_FILE: Final = "relay.db"

_log = logs.logger()


@dataclass(frozen=True)
class ApiSettings:
    """What the operator decides about the HTTP API."""

    state_dir: Path
    database: str | None = None
    """File or URL; None means relay.db in the state directory."""
    hosting: Hosting = field(default_factory=Hosting)
    names: NameSettings = field(default_factory=NameSettings)
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks whose X-Forwarded-For is believed."""
    public_metrics: bool = False
    """True shows /metrics to everybody; otherwise to loopback and to tokens that may read."""
    requests_per_minute: int = 6_000
    """Per source address, all of /v1 together."""
    logins_per_minute: int = 3_000
    """Per source address, challenges and credentials together."""


class RelayServices:
    """One relay's control plane."""

    def __init__(
        self,
        settings: ApiSettings,
        database: Database,
        live: LiveHosts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wire the parts; use `open` to get the database as well. `clock` gives Unix seconds."""
        self.settings = settings
        self.database = database
        self.live = live
        self.clock = clock
        self.authority = Authority(database, settings.hosting, clock)
        self.names = AliasService(
            database, settings.names, clock, open_hosting=settings.hosting.mode == "open"
        )
        self.policy = PublishPolicy(database, self.names, live, clock)
        self.ports = StoredPorts(database, self.names, clock)
        self.metrics = Metrics()
        self.metrics.watch_hosts(lambda: len(live.live_hosts()))
        self.usage = UsageMeter(database, clock)
        self.started_at = clock()
        self.draining = False
        """Set by the data path on SIGTERM: /readyz says no from then on."""
        self.info = RelayInfo(
            service="uptui-relay",
            version=__version__,
            protocol=1,
            hosting=settings.hosting.mode,
            public_host="localhost",
            ssh_port=None,
            port_first=None,
            port_last=None,
        )
        """Replaced by the data path once it knows its addresses."""
        self.join_url = "http://localhost"
        """What hosts give as `--relay`; replaced like `info`."""

    @classmethod
    async def open(
        cls, settings: ApiSettings, live: LiveHosts, clock: Callable[[], float] = time.time
    ) -> Self:
        """Open the store, upgrade its tables and write the admin token file.

        Raises ConfigError for wrong settings and StateError for a store that cannot be used.
        """
        database = await open_database(settings.database or str(settings.state_dir / DATABASE_FILE))
        try:
            services = cls(settings, database, live, clock)
            await ensure_admin_token(database, settings.state_dir, clock())
        except BaseException:
            await database.close()
            raise
        return services

    async def run(self) -> None:
        """Keep house until cancelled; a store that fails is logged and tried again."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_INTERVAL)
            try:
                await self.keep_house()
            except StateError as error:
                self.metrics.failed("store")
                _log.error("housekeeping_failed", error=str(error))

    async def keep_house(self) -> None:
        """Write usage, keep live aliases alive, drop what has expired."""
        now = self.clock()
        await self.usage.flush()
        await self.names.touch([name for host in self.live.live_hosts() for name in host.aliases])
        away, here = self.names.settings.token_port_ttl, self.live.live_hosts()
        async with self.database.write() as connection:
            await hosts.touch_routes(connection, {host.fingerprint for host in here}, now)
            if now - self.started_at >= away:  # before, nobody had the time to come back
                gone = await hosts.drop_stale_routes(connection, now - away)
                await ports.free_keys(connection, gone, now)
            await hosts.trim_credentials(connection, "", now, 0)
            await usage.forget_before(connection, usage.month_of(now - KEEP_USAGE))

    async def close(self) -> None:
        """Write what is pending and give the store back; usage that cannot be written is lost."""
        try:
            await self.usage.flush()
        except StateError as error:
            _log.error("usage_lost", error=str(error))
        finally:
            await self.database.close()
