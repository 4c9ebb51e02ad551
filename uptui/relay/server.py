"""Class Relay: one whole relay, wired from its settings; embedded and stand-alone alike."""

import asyncio
import contextlib
import socket
import time
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from uptui.protocol import control
from uptui.protocol.control import Goodbye, RelayWays, Welcome
from uptui.protocol.stream import CLIENT_PATH, WEBSOCKET_PATH
from uptui.relay import logs, takeover
from uptui.relay.accounting import Accounting
from uptui.relay.activation import is_inherited
from uptui.relay.admission import Admission
from uptui.relay.allowance import Allowance
from uptui.relay.api.app import make_app
from uptui.relay.api.problems import deny, problem
from uptui.relay.certificates import TlsFiles
from uptui.relay.control import RETRY_AFTER_DRAIN, SOFTWARE, ControlPlane
from uptui.relay.directory import Directory
from uptui.relay.front import FrontDoor, Rooms
from uptui.relay.gateway import Gateway
from uptui.relay.ingress import Ingress, Trusted
from uptui.relay.lifelines import Lifelines
from uptui.relay.limits import FairShare
from uptui.relay.ports import DirectPorts
from uptui.relay.registry import Registry
from uptui.relay.services import ApiSettings, Services
from uptui.relay.settings import Address, RelayAddresses, RelaySettings
from uptui.relay.sockets import Listener, bind, is_loopback
from uptui.relay.streams import DialBack, serve_websocket
from uptui.relay.switchboard import Switchboard
from uptui.relay.walled import Walled
from uptui.relay.web import Web

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
        self._closed = asyncio.Event()
        self.superseded = asyncio.Event()
        """Set when a successor has taken the sockets: time to close."""

    @property
    def addresses(self) -> RelayAddresses:
        """Where it listens; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.addresses

    @property
    def services(self) -> Services:
        """Store, authority, names and metrics; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.services

    @property
    def switchboard(self) -> Switchboard:
        """Routes, hosts and open streams; only after `start`."""
        assert self._running is not None, "the relay has not been started"
        return self._running.switchboard

    async def start(self) -> RelayAddresses:
        """Open the store and listen.

        Raises ConfigError naming the address and the setting when a port is in use, StateError
        when the store cannot be used.
        """
        claim = await takeover.claim(self.settings.state_dir) if self.settings.takeover else None
        try:
            await self._start(claim.estate if claim else takeover.Estate())
        except BaseException:
            if claim is not None:
                claim.abandon()
            raise
        if claim is not None:
            claim.confirm()
        assert self._running is not None
        self._running.await_successor()
        log.info("relay_started", http=str(self.addresses.http), ssh=str(self.addresses.ssh))
        return self.addresses

    async def _start(self, estate: takeover.Estate) -> None:
        with contextlib.ExitStack() as sockets:
            setting = "--http" if self.settings.http else "--single"
            front = sockets.enter_context(_listener(estate, self.settings.front, setting))
            ssh = None
            if self.settings.ssh is not None:
                ssh = sockets.enter_context(_listener(estate, self.settings.ssh, "--ssh"))
            directory = Directory()
            services = await Services.open(_api_settings(self.settings), directory)
            try:
                self._running = _Running(self.settings, services, directory, self.superseded)
            except BaseException:
                await services.close()
                raise
            try:
                self._running.inherit(estate)
                await self._running.listen(front, ssh)
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
        quotas, rate and message. Everything else waits for the next start."""
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
        self._closed.set()


class _Running:
    """The wired parts of a started relay."""

    def __init__(
        self,
        settings: RelaySettings,
        services: Services,
        directory: Directory,
        superseded: asyncio.Event,
    ) -> None:
        limits = settings.limits
        registry = Registry(
            max_hosts=limits.hosts,
            max_dials=limits.pending_dials,
            max_dials_per_host=limits.pending_dials_per_host,
        )
        self.settings = settings
        self.services = services
        trusted = Trusted(settings.trusted_proxies)
        self.admission = Admission(limits, trusted.__contains__)
        self._lifelines = Lifelines()
        self._ingress = Ingress(trusted, self.admission, self._lifelines, limits.undecided_timeout)
        self.switchboard = Switchboard(registry, limits, services.metrics, time.monotonic)
        self._ports = DirectPorts(
            settings.ports,
            settings.ports_host or settings.front.host,
            services.ports,
            self.switchboard,
            self.admission,
            self._ingress,
        )
        directory.switchboard, directory.ports = self.switchboard, self._ports
        self._walled = Walled(self.switchboard, self.admission)
        self._accounting = Accounting(self.switchboard, services.metrics, services.usage)
        self.allowance = Allowance(self.switchboard, services, self._accounting)
        self._web = Web(self._app(), self.admission.origin)
        self._gateway = Gateway(self.switchboard, self.admission, settings.state_dir)
        self._door: FrontDoor | None = None
        self._listeners: list[Listener] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = False
        self._tls: TlsFiles | None = None
        self._superseded = superseded
        self._succession: takeover.Succession | None = None
        self._set_limits()
        self.addresses = RelayAddresses(settings.front, settings.ssh, settings.ports)

    async def listen(self, front: socket.socket, ssh: socket.socket | None) -> None:
        """Serve on bound sockets; they are closed with the relay."""
        settings = self.settings
        tls = self._tls = TlsFiles(settings.tls) if settings.tls else None
        serves_ssh = ssh is not None or settings.single is not None
        if serves_ssh:
            await self._gateway.start()
        rooms = Rooms(
            http=self._web.protocol,
            stream=lambda: DialBack(self.switchboard),
            tunnel=self._walled.tunnel,
            ssh=self._gateway.protocol if settings.single is not None else None,
            tls=tls.context if tls else None,
        )
        self._door = FrontDoor(rooms, self.admission, settings.limits)
        self._listeners.append(Listener(front, self._ingress.before(self._door.accepted)))
        http = self._listeners[0].address
        gateway = http if settings.single is not None else None
        if ssh is not None:
            self._listeners.append(Listener(ssh, self._ingress.before(self._gateway.accepted)))
            gateway = self._listeners[1].address
        self.addresses = RelayAddresses(http, gateway, settings.ports)
        self._publish_info()
        works = (
            self._accounting.run(),
            self.services.run(),
            self._lifelines.run(),
            self.allowance.run(),
        )
        for work in works:
            self._tasks.append(asyncio.create_task(work))

    async def close(self, drain_timeout: float) -> None:
        """See Relay.close."""
        self._drain(True)
        for listener in self._listeners:
            if drain_timeout <= 0 or self._superseded.is_set() or is_inherited(listener.socket):
                listener.close()
        if drain_timeout > 0:
            await self.switchboard.settled(min(drain_timeout, SETTLE_TIME))
            await self._dismiss_hosts()
            await self.switchboard.splices.drain(drain_timeout)
        await self._end()

    def _drain(self, on: bool) -> None:
        self._draining = self.services.draining = self.switchboard.draining = on

    async def _end(self) -> None:
        if self._succession is not None:
            await self._succession.close()
        for listener in self._listeners:
            listener.close()
        self._ingress.close()
        self.switchboard.expected.clear()
        if self._door is not None:
            self._door.close()
        self._ports.close_all()
        await self._dismiss_hosts()
        self.switchboard.splices.abort()
        await self.admission.cancel()
        await self._gateway.close()
        await self._web.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._accounting.report()
        await self.services.close()

    def inherit(self, estate: takeover.Estate) -> None:
        """Go on where an older relay stops: its direct ports and the hosts that will come back."""
        if not estate.names:
            return
        self._ports.adopt(estate.listeners)
        estate.listeners = []
        self.switchboard.expected.expect(estate.names, RETURN_TIME)
        self._disown = asyncio.get_running_loop().call_later(RETURN_TIME, self._ports.disown)

    def await_successor(self) -> None:
        """Be ready to hand over. Raises StateError when the socket for it cannot be made."""
        if self.settings.takeover:
            self._succession = takeover.Succession(
                self.settings.state_dir, self._prepare, self._handed_over
            )
            self._succession.start()

    async def _prepare(self) -> takeover.Estate:
        """Accept nothing more, let begun dials end, and list what to hand over."""
        names = [name for host in self.switchboard.registry.hosts for name in host.routes]
        for listener in (*self._ports.listeners, *self._listeners[1:]):
            listener.pause()
        await self.switchboard.settled(SETTLE_TIME, self._gateway.undecided)
        self._drain(True)
        self._listeners[0].pause()
        listeners = (*self._listeners, *self._ports.listeners)
        return takeover.Estate([listener.socket for listener in listeners], names)

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
        self.settings = replace(self.settings, message=settings.message, rate=settings.rate)
        names = self.services.names
        names.settings = replace(names.settings, ttl=api.names.ttl, quotas=api.names.quotas)
        self._set_limits()
        if self._tls is not None:
            self._tls.reload()

    def _set_limits(self) -> None:
        rate = self.settings.rate
        self.switchboard.splices.share = FairShare(rate) if rate else None
        self.switchboard.max_streams = self.services.names.settings.quotas.max_streams

    async def _dismiss_hosts(self) -> None:
        hosts = self.switchboard.hosts()
        for channel in hosts:
            channel.close(
                Goodbye(
                    reason="draining",
                    message="the relay is restarting",
                    retry_after=RETRY_AFTER_DRAIN,
                )
            )
        await self.switchboard.deserted(GOODBYE_TIME)

    def _app(self) -> ASGIApp:
        plane = ControlPlane(
            self.services.authority,
            self.services.policy,
            self.switchboard,
            self._ports,
            self._welcome,
            lambda: self._draining,
        )

        async def streams(websocket: WebSocket) -> None:
            await serve_websocket(websocket, self.switchboard)

        app = make_app(self.services)
        served = {
            control.PATH: plane.serve,
            WEBSOCKET_PATH: streams,
            CLIENT_PATH: self._walled.serve,
        }
        app.router.routes[:0] = [
            *(WebSocketRoute(path, serve) for path, serve in served.items()),
            *(Route(path, _upgrade_required) for path in served),
            WebSocketRoute("/{path:path}", _nowhere),
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


async def _nowhere(websocket: WebSocket) -> None:
    await deny(websocket, 404, "not_found", "there is no WebSocket at this path")


async def _upgrade_required(_request: Request) -> JSONResponse:
    detail = "this is a WebSocket; a proxy on the way may have left the Upgrade header out"
    return problem(426, detail, headers={"Connection": "Upgrade", "Upgrade": "websocket"})


def _listener(estate: takeover.Estate, address: Address, setting: str) -> socket.socket:
    """A predecessor's listener of this address, or a new one."""
    return estate.take(address) or bind(address, setting)


def _api_settings(settings: RelaySettings) -> ApiSettings:
    api = settings.api or ApiSettings(settings.state_dir)
    span = settings.ports
    given = range(span[0], span[1] + 1) if isinstance(span, tuple) else range(0)
    return replace(api, names=replace(api.names, ports=given))
