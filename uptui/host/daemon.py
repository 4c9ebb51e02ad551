"""The host daemon: puts share, SSH server, terminals, relay link and API together and runs them."""

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import asyncssh

from uptui.config import Settings
from uptui.config.keytext import private_key
from uptui.core.keys import parse_public_key
from uptui.errors import ConfigError
from uptui.host import doctor, settings_map
from uptui.host.api import callers, routes
from uptui.host.api.events import Changes
from uptui.host.api.server import ApiServer, bind
from uptui.host.api.snapshot import Moment, Unchanging, draw
from uptui.host.controller import Controller, ControllerHooks
from uptui.host.keys.authorized_keys import AuthorizedKeys, check_readable
from uptui.host.keys.identity import load_host_keys, load_identity, public_line
from uptui.host.live_settings import Tuning
from uptui.host.ports import PortWatch
from uptui.host.process.guests import Guests
from uptui.host.process.pty import Size
from uptui.host.process.spawn import GUESTS, ExitStatus
from uptui.host.publishing import Addresses, Names, wish
from uptui.host.relay_link import LinkHooks, LinkSettings, RelayEndpoint, RelayLink
from uptui.host.service import Calls, HostService
from uptui.host.share_commands import ShareCommands
from uptui.host.sshd.access_control import StreamOrigin
from uptui.host.sshd.client_services import GuestServices
from uptui.host.sshd.common import Common
from uptui.host.sshd.forwarding.guard import Guard
from uptui.host.sshd.server import SSHHost
from uptui.host.sshd.sessions.environment import Environment, usable_shell
from uptui.host.sshd.vouching import screened
from uptui.host.storage.documents import Memory
from uptui.host.storage.event_log import RING, EventLog
from uptui.host.storage.lock import DaemonLock
from uptui.host.storage.state_directory import StateDir
from uptui.host.terminals import attach
from uptui.host.terminals.terminals import TerminalService
from uptui.paths import Places
from uptui.protocol import host_api
from uptui.protocol.control import Shown
from uptui.protocol.host_api import LogEntry, ShareStatus, Snapshot
from uptui.protocol.names import Fingerprint, Screening
from uptui.runtime.gc_tuning import Collector
from uptui.runtime.malloc_tuning import keep_freed
from uptui.runtime.private_files import remove_leftovers
from uptui.runtime.reaper import Orphans
from uptui.ssh.hostkeys import shown

GOODBYE: Final = "The host has stopped sharing."
NOT_FOUND: Final = 127
"""Exit code of a command that could not be run."""
COMMAND_SIZE: Final = Size(80, 24)
"""The window of a shared command until somebody joins it."""


@dataclass(frozen=True)
class Plan:
    """What a daemon is started with."""

    settings: Settings
    places: Places
    command: tuple[str, ...] = ()
    """Runs at once as the shared terminal; the share ends with it."""
    directory: str | None = None
    """Where `command` runs; None is the home directory."""


class HostDaemon:
    """One share. Made (and the state directory taken) first, then run in an event loop."""

    def __init__(self, plan: Plan) -> None:
        """Raises AlreadyRunningError, ConfigError, StateError."""
        settings, places = plan.settings, plan.places
        self._plan = plan
        """That of the command, once the share has ended with it."""
        _check_wishes(settings)
        self._state = StateDir(places.state_dir)
        self._lock = DaemonLock(places.lock_file)
        self._lock.acquire()
        for directory in (places.state_dir, places.state_dir / "keys"):
            remove_leftovers(directory)
        try:
            origin = settings.origin("host.identity").where
            self.key = load_identity(settings.host.identity, origin, places.identity_file)
            origin = settings.origin("host.host_keys").where
            self._further_keys = load_host_keys(settings.host.host_keys, origin)
            self._tuning = Tuning(settings, self._state)
        except BaseException:
            self._lock.release()
            raise

    @property
    def fingerprint(self) -> str:
        """Of the identity key."""
        return self.key.get_fingerprint()

    async def run(self, relay: RelayEndpoint, started: Callable[["Running"], None]) -> str:
        """Share until stopped; returns why it ended. `started` gets the parts once they are made.

        Raises StateError, ConfigError.
        """
        keys = [self.key, *self._further_keys]
        running = Running(self._plan, self._state, self._tuning, keys, relay)
        started(running)
        reason = await running.run()
        self.exit_code = running.exit_code
        return reason

    def release(self) -> None:
        """Give the state directory back, once the relay beside us has ended, too."""
        self._lock.release()


class Running:
    """The wired parts of a daemon that runs; lives in one event loop."""

    exit_code = 0

    def __init__(
        self,
        plan: Plan,
        state: StateDir,
        tuning: Tuning,
        host_keys: list[asyncssh.SSHKey],
        relay: RelayEndpoint,
    ) -> None:
        settings, key = plan.settings, host_keys[0]
        self._places = places = plan.places
        self._tuning = tuning
        self._ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ready = asyncio.Event()
        """Set once the strings have worked for the first time."""
        self.exit_code = 0
        self._command = plan.command
        ssh_settings = settings_map.ssh_settings(settings, tuning.alias or socket.gethostname())
        environment = Environment(ssh_settings, os.environ)
        self._fixed = _unchanging(places.name, environment.account.name, key)
        directory = settings.host.cwd or environment.account.home
        keys = tuple(public_line(one) for one in shown(host_keys))
        self._addresses = Addresses(keys, self._fixed.hostname, directory)
        self.changes = Changes(self.snapshot)
        self.log = EventLog(places.event_log)
        self.link = RelayLink(
            LinkSettings(relay, key, settings.host.join_token, settings_map.transport(settings)),
            LinkHooks(self._accept, self.changes.touch, self._record, self._shown, self._published),
        )
        memory = Memory(state, self._fixed.fingerprint)
        self.controller = Controller(
            memory.load(settings_map.share_settings(settings, tuning.alias), time.time()),
            self.log,
            memory,
            hooks=ControllerHooks(self._publish, self.changes.touch, self.stop, self._banish),
        )
        self.controller.share.state.command = self._e2e_command
        self.share_commands = ShareCommands(self.controller, self._invite_strings)
        self.terminals = TerminalService(
            settings_map.terminal_settings(
                settings, plan.command, plan.directory, places.recordings
            ),
            environment,
            on_change=self.changes.touch,
            on_shared_end=self._shared_ended if plan.command else _ignore,
            note=self._note,
        )
        self.programs = Guests(self.changes.touch, self._note_key)
        common = Common(Guard((*places.private, *_key_files(settings))))
        self.ssh = SSHHost(
            host_keys,
            self.controller,
            ssh_settings,
            self.terminals,
            lambda connection: GuestServices(connection, common),
            programs=self.programs,
        )
        self._keys = self._made_keys()
        self._ports = PortWatch(lambda: self._tuning.now.host.ports_ignore, self.changes.touch)
        self._collector = Collector()
        self._api = self._made_api()

    def _made_keys(self) -> AuthorizedKeys:
        keys_dir = self._places.state_dir / "keys"
        return AuthorizedKeys(keys_dir, self.controller.authorize, self._keys_problem)

    def _made_api(self) -> ApiServer:
        calls = Calls(self.url, self._settings_changed, self.stop, self._doctor)
        commands = HostService(
            self.share_commands, self.link, self.log, self._tuning, self.changes, calls
        )
        application = routes.application(commands, attach.routes(self.terminals, self.programs.end))
        return ApiServer(application, bind(self._places.api_socket), self._objection)

    def _objection(self, pid: int) -> str:
        """Why a process may not use the API: it is a forward of ours, or a guest's."""
        listed = self.controller.share.state.authorized
        return callers.objection(pid, callers.Programs(os.getpid(), GUESTS, listed))

    @property
    def fingerprint(self) -> str:
        """Of the host key."""
        return self._fixed.fingerprint

    @property
    def status(self) -> ShareStatus:
        if self._ending.done():
            return "stopping"
        return "sharing" if self.ready.is_set() else "starting"

    async def run(self) -> str:
        """Until `stop`; returns the reason."""
        keep_freed()
        await self._keys.use(self._tuning.now.host.authorized_keys)
        if self._tuning.now.host.locked:
            self.share_commands.lock(host_api.Lock(locked=True))
        await self.ssh.start()
        if self._command:
            self.terminals.start_shared(COMMAND_SIZE)
        self._publish()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._api.serve())
            work = (
                self.controller,
                self._keys,
                self._ports,
                self.link,
                self._collector,
                self.programs,
            )
            tasks = [group.create_task(part.run()) for part in (*work, Orphans())]
            reason = await self._ending
            await self._end(reason)
            for task in tasks:
                task.cancel()
            self._api.shutdown()
            await serving
        await asyncio.to_thread(self.log.close)
        return reason

    async def _end(self, reason: str) -> None:
        self._record("share.stopped", f"sharing ends: {reason}", "notice")
        self.controller.close(GOODBYE)
        await self.ssh.close(GOODBYE)
        self.terminals.close()
        self.controller.save()
        self.changes.close()

    def stop(self, reason: str) -> None:
        """End the share soon; further calls change nothing."""
        if not self._ending.done():
            self._ending.set_result(reason)

    def names(self) -> Names:
        """By what names we want to be reached now."""
        state = self.controller.share.state
        host = self._tuning.now.host
        invites = tuple(self.controller.share.routes(time.time()))
        secret = self.share_commands.secret if host.unknown == "accept" else ""
        return Names(
            state.address.token,
            self._tuning.alias,
            invites,
            host.e2e_only,
            secret,
            host.plain_invites,
        )

    def url(self) -> host_api.Strings:
        """The strings that people connect with."""
        return self._addresses.strings(self.names(), self.link.status)

    def snapshot(self) -> Snapshot:
        """Everything at this moment."""
        host = self._tuning.now.host
        moment = Moment(
            status=self.status,
            alias=self._tuning.alias,
            e2e_only=host.e2e_only,
            unknown=cast("host_api.UnknownPolicy", host.unknown),
            record=self.terminals.records,
            relay=self.link.model(),
            url=self.url(),
            ports=self._ports.ports,
            terminals=[*self.terminals.snapshot(), *self.programs.snapshot()],
        )
        return draw(self._fixed, moment, self.share_commands)

    def log_after(self, n: int) -> list[LogEntry]:
        """The entries with a greater number that are remembered, oldest first."""
        return self.log.after(n, RING)

    def _invite_strings(self, user: str) -> dict[str, str]:
        return dict(self._addresses.invite_strings(user, self.names(), self.link.status))

    def _e2e_command(self, user: str) -> str:
        return self._addresses.command(user, self.names(), self.link.status)

    def _publish(self) -> None:
        self.link.publish(wish(self.names(), self.link.status))
        self.changes.touch()

    def _published(self) -> None:
        """A refused alias moves the port to the token, which is another wish."""
        self._publish()
        if self.link.settled and not self.ready.is_set():
            self._collector.settle()
            self.ready.set()
            self.changes.touch()

    def _accept(self, sock: socket.socket, origin: StreamOrigin) -> None:
        self.ssh.accept(sock, origin)

    def _shown(self, key: Shown) -> Screening | None:
        return screened(self.controller, key)

    def _record(self, event: str, text: str, level: host_api.Level) -> None:
        self.controller.record(event, text, level=level)

    def _note(self, event: str, text: str, **data: object) -> None:
        kept = {key: str(value) for key, value in data.items()}
        self.controller.record(event, text, level="info", **kept)

    def _note_key(self, event: str, text: str, key: Fingerprint) -> None:
        self._note(event, text, fingerprint=key)

    def _keys_problem(self, problem: str) -> None:
        self._record("keys.problem", problem, "warning")

    def _banish(self, key: Fingerprint) -> None:
        self.terminals.kept.end_of(key)
        self.programs.end_key(key)

    def _shared_ended(self, status: ExitStatus) -> None:
        self.exit_code = status.shell_code
        how = f"by SIG{status.signal}" if status.code is None else f"with status {status.code}"
        if status.code == NOT_FOUND and shutil.which(self._command[0]) is None:
            how += f": there is no {self._command[0]!r} that can be run"
        self.stop(f"the shared command ended {how}")

    async def _settings_changed(self, key: str) -> None:
        now = self._tuning.now
        if key == "host.authorized_keys":
            await self._keys.use(now.host.authorized_keys)
        self.controller.configure(settings_map.share_settings(now, self._tuning.alias))
        self.terminals.kept.grace = now.host.keep_shells
        self.terminals.set_size_policy(settings_map.size_policy(now))
        if key == "host.record":
            self.terminals.record(on=now.host.record)
        self._publish()
        self._record("setting.changed", f"{key} was changed", "notice")

    async def _doctor(self) -> list[host_api.Check]:
        return await doctor.examine(self._tuning.now, self._places, self.link.settings.endpoint)


def _check_wishes(settings: Settings) -> None:
    """Refuse files, shell and directory that were asked for and are not there, before anything is
    touched. Raises ConfigError."""
    host = settings.host
    check_readable(host.authorized_keys, settings.where("host.authorized_keys"))
    if host.shell and not usable_shell(host.shell):
        problem = f"{host.shell!r} is not the absolute path of a shell that can be run"
        raise ConfigError(settings.where("host.shell"), problem)
    if host.cwd and not (Path(host.cwd).is_dir() and os.access(host.cwd, os.X_OK)):
        problem = f"{host.cwd!r} is not a directory that can be entered"
        raise ConfigError(settings.where("host.cwd"), problem)


def _key_files(settings: Settings) -> list[Path]:
    """Where the host's keys are, when that is not among our own files."""
    given = (settings.host.identity, *settings.host.host_keys)
    return [Path(file) for file in given if file and private_key(file) is None]


def _unchanging(name: str, os_user: str, key: asyncssh.SSHKey) -> Unchanging:
    return Unchanging(
        name=name,
        hostname=socket.gethostname(),
        os_user=os_user,
        pid=os.getpid(),
        started_at=time.time(),
        fingerprint=parse_public_key(public_line(key)).fingerprint,
    )


def _ignore(status: ExitStatus) -> None:
    del status
