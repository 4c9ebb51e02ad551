"""Class Relay: one whole relay, wired from its settings; embedded and stand-alone alike."""

import asyncio
import contextlib
import socket
import time
from dataclasses import replace
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from uptui.errors import ProtocolError
from uptui.protocol import control
from uptui.protocol.control import Goodbye, RelayWays, Welcome
from uptui.protocol.login import Origin
from uptui.protocol.stream import CLIENT_PATH, WEBSOCKET_PATH
from uptui.relay import logs
from uptui.relay.accounts.accounting import Accounting
from uptui.relay.accounts.allowance import Allowance
from uptui.relay.accounts.login_origin import Whereabouts, spelled
from uptui.relay.api.app import make_app
from uptui.relay.api.problems import problem
from uptui.relay.directory import Directory
from uptui.relay.gateway.server import Gateway
from uptui.relay.ingress import socket_handover
from uptui.relay.ingress.arrivals import Ingress, Trusted
from uptui.relay.ingress.certificates import TlsFiles
from uptui.relay.ingress.connection_limiter import ConnectionLimiter
from uptui.relay.ingress.control_channel import RETRY_AFTER_DRAIN, SOFTWARE, ControlPlane
from uptui.relay.ingress.direct_ports import DirectPorts
from uptui.relay.ingress.http_server import Web
from uptui.relay.ingress.listeners import Listener, bind, is_loopback
from uptui.relay.ingress.protocol_mux import ProtocolMux, Targets
from uptui.relay.ingress.systemd_sockets import is_inherited
from uptui.relay.ingress.websocket_tunnel import WebSocketTunnel
from uptui.relay.services import ApiSettings, RelayServices
from uptui.relay.settings import RelayAddresses, RelaySettings, SocketAddress
from uptui.relay.store.state_lock import StateLock
from uptui.relay.tunnel.broker import Broker
from uptui.relay.tunnel.dead_peers import DeadPeers
from uptui.relay.tunnel.fair_share import FairShare
from uptui.relay.tunnel.registry import Registry
from uptui.relay.tunnel.streams import DialBack, serve_websocket
from uptui.relay.workers import Work, Workers

PING_INTERVAL: Final = 15.0
DRAIN_TIMEOUT: Final = 5.0
SETTLE_TIME: Final = 3.0
"""Seconds that clients get whose hosts are already on the way."""
RETURN_TIME: Final = 10.0
"""Seconds that clients wait for hosts that have to come back after a takeover."""
GOODBYE_TIME: Final = 0.5
"""Seconds that hosts get to read why the relay goes away."""

log = logs.logger("uptui.relay.server")


class Relay:
    """Start, serve, close; each start needs a new one."""

    def __init__(self, settings: RelaySettings) -> None:
        self.settings = settings
        self._running: _Running | None = None
        self._lock = StateLock(settings.state_dir)
        self._closed = asyncio.Event()
        self.superseded = asyncio.Event()
        """Set when a successor has taken the sockets: time to close."""

    @property
    def failed(self) -> asyncio.Event:
        """Set when a background task has failed; it was logged, counted and started again, so a
        share may go on, but a process of its own had better end. Only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.workers.failed

    @property
    def addresses(self) -> RelayAddresses:
        """Where it listens; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.addresses

    @property
    def services(self) -> RelayServices:
        """Store, authority, names and metrics; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.services

    @property
    def app(self) -> FastAPI:
        """Every HTTP operation and WebSocket that it serves; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.app

    @property
    def broker(self) -> Broker:
        """Routes, hosts and open streams; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.broker

    async def start(self) -> RelayAddresses:
        """Open the store and listen.

        Raises ConfigError naming the address and the setting when a port is in use or another relay
        uses the state directory, StateError when the store cannot be used.
        """
        self._lock.acquire(takeover=self.settings.takeover)
        try:
            return await self._claim_and_start()
        except BaseException:
            self._lock.release()
            raise

    async def _claim_and_start(self) -> RelayAddresses:
        claim = (
            await socket_handover.claim(self.settings.state_dir) if self.settings.takeover else None
        )
        try:
            await self._start(claim.handed if claim else socket_handover.HandedSockets())
        except BaseException:
            if claim is not None:
                claim.abandon()
            raise
        if claim is not None:
            claim.confirm()
        assert self._running is not None
        log.info("relay_started", http=str(self.addresses.http), ssh=str(self.addresses.ssh))
        return self.addresses

    async def _start(self, handed: socket_handover.HandedSockets) -> None:
        with contextlib.ExitStack() as sockets:
            setting = "--http" if self.settings.http else "--single"
            front = sockets.enter_context(_listener(handed, self.settings.front, setting))
            ssh = None
            if self.settings.ssh is not None:
                ssh = sockets.enter_context(_listener(handed, self.settings.ssh, "--ssh"))
            directory = Directory()
            services = await RelayServices.open(_api_settings(self.settings), directory)
            try:
                self._running = _Running(self.settings, services, directory, self.superseded)
            except BaseException:
                await services.close()
                raise
            try:
                self._running.inherit(handed)
                await self._running.listen(front, ssh)
                self._running.work()
            except BaseException:
                await self.close(0)
                raise
            sockets.pop_all()

    @property
    def allowance(self) -> Allowance:
        """Who has used up the bytes of this month; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.allowance

    def reload(self, settings: RelaySettings) -> None:
        """Take from `settings` what can change while it runs: the certificate files' contents,
        quotas, rate, message and origins. Everything else waits for the next start."""
        assert self._running is not None, "the relay has not been started"
        self._running.reload(settings)

    async def serve(self) -> None:
        """Wait until the relay is closed."""
        await self._closed.wait()

    async def close(self, drain_timeout: float = DRAIN_TIMEOUT) -> None:
        """Say goodbye to hosts, refuse new streams, let open ones end for so many seconds."""
        running, self._running = self._running, None
        if running is not None:
            await running.close(drain_timeout)
        self._lock.release()
        self._closed.set()


class _Running:
    """The wired parts of a started relay."""

    def __init__(
        self,
        settings: RelaySettings,
        services: RelayServices,
        directory: Directory,
        superseded: asyncio.Event,
    ) -> None:
        limits = settings.limits
        registry = Registry(
            max_hosts=limits.hosts,
            max_dials=limits.pending_dials,
            max_dials_per_host=limits.pending_dials_per_host,
            max_dials_per_source=limits.pending_dials_per_source,
        )
        self.settings = settings
        self.services = services
        trusted = Trusted(settings.trusted_proxies)
        self.limiter = ConnectionLimiter(limits, trusted.__contains__)
        self._dead_peers = DeadPeers()
        self._ingress = Ingress(trusted, self.limiter, self._dead_peers, limits.undecided_timeout)
        self.broker = Broker(registry, limits, services.metrics, time.monotonic)
        self._ports = DirectPorts(
            settings.ports,
            settings.ports_host or settings.front.host,
            services.ports,
            self.broker,
            self.limiter,
            self._ingress,
        )
        directory.broker, directory.ports = self.broker, self._ports
        self._tunnel = WebSocketTunnel(self.broker, self.limiter)
        self._accounting = Accounting(self.broker, services.metrics, services.usage)
        self.allowance = Allowance(self.broker, services, self._accounting)
        self._gateway = Gateway(self.broker, self.limiter, settings.state_dir)
        self.app = self._app()
        self._web = Web(self.app, self.limiter)
        self._mux: ProtocolMux | None = None
        self._listeners: list[Listener] = []
        self.workers = Workers(services.metrics)
        self._working: asyncio.Task[None] | None = None
        self._draining = False
        self._tls: TlsFiles | None = None
        self._superseded = superseded
        self._handover: socket_handover.SocketHandover | None = None
        self._set_limits()
        services.authority.whereabouts = self._whereabouts
        self.addresses = RelayAddresses(settings.front, settings.ssh, settings.ports)

    async def listen(self, front: socket.socket, ssh: socket.socket | None) -> None:
        """Serve on bound sockets; they are closed with the relay."""
        settings = self.settings
        tls = self._tls = TlsFiles(settings.tls) if settings.tls else None
        serves_ssh = ssh is not None or settings.single is not None
        if serves_ssh:
            await self._gateway.start()
        targets = Targets(
            http=self._web.protocol,
            stream=lambda: DialBack(self.broker),
            tunnel=self._tunnel.tunnel,
            ssh=self._gateway.protocol if settings.single is not None else None,
            tls=tls.context if tls else None,
        )
        self._mux = ProtocolMux(targets, self.limiter, settings.limits)
        self._listeners.append(Listener(front, self._ingress.before(self._mux.accepted)))
        http = self._listeners[0].address
        gateway = http if settings.single is not None else None
        if ssh is not None:
            self._listeners.append(Listener(ssh, self._ingress.before(self._gateway.accepted)))
            gateway = self._listeners[1].address
        self.addresses = RelayAddresses(http, gateway, settings.ports)
        self._publish_info()

    async def close(self, drain_timeout: float) -> None:
        """See Relay.close."""
        self._drain(True)
        for listener in self._listeners:
            if drain_timeout <= 0 or self._superseded.is_set() or is_inherited(listener.socket):
                listener.close()
        if drain_timeout > 0:
            await self.broker.settled(min(drain_timeout, SETTLE_TIME))
            await self._dismiss_hosts()
            await self.broker.pipes.drain(drain_timeout)
        await self._end()

    def _drain(self, on: bool) -> None:
        self._draining = self.services.draining = self.broker.draining = on

    async def _end(self) -> None:
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
        if self._handover is not None:
            self._handover.close()
        for listener in self._listeners:
            listener.close()
        self._ingress.close()
        self.broker.expected.clear()
        if self._mux is not None:
            self._mux.close()
        self._ports.close_all()
        await self._dismiss_hosts()
        self.broker.pipes.abort()
        await self.limiter.cancel()
        await self._gateway.close()
        await self._web.close()
        self._accounting.report()
        await self.services.close()

    def inherit(self, handed: socket_handover.HandedSockets) -> None:
        """Go on where an older relay stops: its direct ports and the hosts that will come back."""
        if not handed.names:
            return
        self._ports.adopt(handed.listeners)
        handed.listeners = []
        self.broker.expected.expect(handed.names, RETURN_TIME)
        self._disown = asyncio.get_running_loop().call_later(RETURN_TIME, self._ports.disown)

    def work(self) -> None:
        """Start what goes on by itself, and be ready to hand over to a successor.

        Raises StateError when the socket for that cannot be made.
        """
        works: dict[str, Work] = {
            "accounting": self._accounting.run,
            "housekeeping": self.services.run,
            "dead_peers": self._dead_peers.run,
            "allowance": self.allowance.run,
        }
        if self.settings.takeover:
            self._handover = socket_handover.SocketHandover(
                self.settings.state_dir, self._prepare, self._handed_over
            )
            self._handover.listen()
            works["handover"] = self._handover.run
        self._working = asyncio.create_task(self.workers.run(works))

    async def _prepare(self) -> socket_handover.HandedSockets:
        """Accept nothing more, let begun dials end, and list what to hand over."""
        names = [name for host in self.broker.registry.hosts for name in host.routes]
        for listener in (*self._ports.listeners, *self._listeners[1:]):
            listener.pause()
        await self.broker.settled(SETTLE_TIME, self._gateway.undecided)
        self._drain(True)
        self._listeners[0].pause()
        listeners = (*self._listeners, *self._ports.listeners)
        return socket_handover.HandedSockets([listener.socket for listener in listeners], names)

    def _handed_over(self, taken: bool) -> None:
        if taken:
            self._ports.close_all()
            self._superseded.set()
            return
        self._drain(False)
        for listener in (*self._listeners, *self._ports.listeners):
            listener.resume()

    def reload(self, settings: RelaySettings) -> None:
        """See Relay.reload."""
        api = _api_settings(settings)
        self.settings = replace(
            self.settings, message=settings.message, rate=settings.rate, origins=settings.origins
        )
        names = self.services.names
        names.settings = replace(api.names, ports=names.settings.ports)
        self._set_limits()
        if self._tls is not None:
            self._tls.reload()

    def _set_limits(self) -> None:
        rate = self.settings.rate
        self.broker.pipes.share = FairShare(rate) if rate else None
        self.broker.max_streams = self.services.names.settings.quotas.max_streams

    async def _dismiss_hosts(self) -> None:
        hosts = self.broker.hosts()
        for channel in hosts:
            channel.close(
                Goodbye(
                    reason="draining",
                    message="the relay is restarting",
                    retry_after=RETRY_AFTER_DRAIN,
                )
            )
        await self.broker.deserted(GOODBYE_TIME)

    def _app(self) -> FastAPI:
        plane = ControlPlane(
            self.services.policy,
            self.broker,
            self._gateway.screener,
            self._ports,
            self._welcome,
            lambda: self._draining,
            self.limiter.failures,
        )

        async def streams(websocket: WebSocket) -> None:
            await serve_websocket(websocket, self.broker, self.limiter.failures)

        app = make_app(self.services, self.limiter.failures)
        served = {
            control.PATH: plane.serve,
            WEBSOCKET_PATH: streams,
            CLIENT_PATH: self._tunnel.serve,
        }
        app.router.routes[:0] = [
            *(WebSocketRoute(path, serve) for path, serve in served.items()),
            *(Route(path, _upgrade_required) for path in served),
        ]
        return app

    def _ways(self) -> RelayWays:
        first, last = self.settings.ports if isinstance(self.settings.ports, tuple) else (None,) * 2
        ssh = self.addresses.ssh
        return RelayWays(
            public_host=self.settings.public_host,
            ssh_port=self.settings.public_ssh_port or (ssh.port if ssh else None),
            port_first=first,
            port_last=last,
        )

    def _welcome(self) -> Welcome:
        host, port = self._stream_address()
        return Welcome(
            version=control.VERSION,
            software=SOFTWARE,
            ways=self._ways(),
            stream_host=host,
            stream_port=port,
            ping_interval=PING_INTERVAL,
            message=self.settings.message,
        )

    def _stream_address(self) -> tuple[str | None, int | None]:
        if self.settings.websocket_only:
            return None, None
        if self.settings.streams is not None:
            return self.settings.streams.host, self.settings.streams.port
        local = self.settings.front.host
        host = local if is_loopback(local) else self.settings.public_host
        return host, self.addresses.http.port

    def _whereabouts(self) -> Whereabouts:
        """Where hosts that log in may have met us."""
        settings, port = self.settings, self.addresses.http.port
        leaves = self._tls.leaves() if self._tls else []
        names = {settings.public_host, *(name for leaf in leaves for name in leaf.names)}
        ports = {port}
        if settings.streams is not None:  # the HTTP address, behind a port mapping
            names.add(settings.streams.host)
            ports.add(settings.streams.port)
        further = set(settings.origins)
        with contextlib.suppress(ProtocolError):  # the public host may be no name at all
            further.add(Origin.parse(settings.join_url(port).partition("#")[0]))
        return Whereabouts(
            "https" if settings.tls else "http",
            spelled(names),
            frozenset(ports),
            frozenset(further),
            frozenset(leaf.sha256 for leaf in leaves),
        )

    def _publish_info(self) -> None:
        self.services.join_url = self.settings.join_url(self.addresses.http.port)
        ways = self._ways()
        self.services.info = replace(
            self.services.info,
            public_host=ways.public_host,
            ssh_port=ways.ssh_port,
            port_first=ways.port_first,
            port_last=ways.port_last,
            ssh_host_keys=self._gateway.host_keys,
        )


async def _upgrade_required(_request: Request) -> JSONResponse:
    detail = "this is a WebSocket; a proxy on the way may have left the Upgrade header out"
    return problem(426, detail, headers={"Connection": "Upgrade", "Upgrade": "websocket"})


def _listener(
    handed: socket_handover.HandedSockets, address: SocketAddress, setting: str
) -> socket.socket:
    """A predecessor's listener of this address, or a new one."""
    return handed.take(address) or bind(address, setting)


def _api_settings(settings: RelaySettings) -> ApiSettings:
    api = settings.api or ApiSettings(settings.state_dir)
    span = settings.ports
    given = range(span[0], span[1] + 1) if isinstance(span, tuple) else range(0)
    return replace(api, names=replace(api.names, ports=given))
