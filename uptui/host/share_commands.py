"""The host's own calls on its share, as the host API makes them: each raises ApiError.

404 names something that does not exist (any more), 409 something in the wrong state, 422 a wrong
value. Everything is carried out before a method returns.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from uptui.core.invitation_text import invitation_text
from uptui.core.invites import Invite, invite_model
from uptui.core.people import person_model
from uptui.core.policies import Ending
from uptui.core.requests import pending_model
from uptui.core.share_state import ActError
from uptui.errors import ApiError
from uptui.host.api import models
from uptui.host.controller import Controller
from uptui.protocol import host_api
from uptui.protocol.names import RouteName

_STATUS: Final[dict[Literal["unknown", "state", "value"], tuple[int, str]]] = {
    "unknown": (404, "Not found"),
    "state": (409, "Not possible now"),
    "value": (422, "Wrong value"),
}


def _no_strings(user: str) -> Mapping[str, str]:
    del user
    return {}


@dataclass(frozen=True)
class Parts:
    """What the share contributes to a Snapshot."""

    token: RouteName
    token_rotates_at: float | None
    locked: bool
    ending: Ending | None
    pending: list[host_api.Pending]
    clients: list[host_api.ClientView]
    forwards: list[host_api.Forward]
    invites: list[host_api.InviteView]
    people: list[host_api.PersonView]
    traffic: host_api.Traffic
    roles: list[str]
    log: list[host_api.LogEntry]
    unsaved: str


class ShareCommands:
    """Commands on the share of one controller, and views of it."""

    def __init__(
        self,
        controller: Controller,
        strings: Callable[[str], Mapping[str, str]] = _no_strings,
    ) -> None:
        self._controller = controller
        self._share = controller.share
        self._strings = strings

    def approve(self, request: str, answer: host_api.Approve) -> None:
        """Let in who waits in this request."""
        with self._acting() as now:
            self._share.commands.approve(request, answer, now)

    def deny(self, request: str, answer: host_api.Deny) -> None:
        """Turn away who waits in this request."""
        with self._acting() as now:
            self._share.commands.deny(request, answer, now)

    def kick(self, client: str, answer: host_api.Kick) -> None:
        """Disconnect a client, at once."""
        with self._acting() as now:
            self._share.commands.kick(client, answer, now)

    def kick_all(self, answer: host_api.Kick) -> int:
        """Disconnect everybody; how many that were."""
        with self._acting() as now:
            return self._share.commands.kick_all(answer, now)

    def change_role(self, client: str, change: host_api.ChangeRole) -> None:
        """Give a connected client another role, at once."""
        with self._acting() as now:
            self._share.commands.change_role(client, change.role, now)

    def say(self, client: str, message: host_api.Say) -> None:
        """Show a line in a client's terminals."""
        with self._acting() as now:
            self._share.commands.say(client, message.text, now)

    def lock(self, wish: host_api.Lock) -> None:
        """Refuse new joins, or take them again."""
        with self._acting() as now:
            self._share.commands.lock(wish.locked, now)

    def rotate(self, wish: host_api.Rotate) -> RouteName:
        """Take a new session token; the new token."""
        with self._acting() as now:
            return self._share.commands.rotate(now, kick=wish.kick)

    def invite(self, new: host_api.NewInvite) -> host_api.InviteView:
        """Make an invite."""
        with self._acting() as now:
            invite = self._share.invite(new, now)
        return self._shown(invite, now)

    def revoke(self, route: str) -> host_api.InviteView:
        """End an invite, given by its route or its name."""
        with self._acting() as now:
            return invite_model(self._share.revoke(route, now), now)

    def edit_person(self, fingerprint: str, edit: host_api.EditPerson) -> host_api.PersonView:
        """Rename, block or change the role of somebody known, at once."""
        with self._acting() as now:
            return person_model(self._share.edit_person(fingerprint, edit, now))

    def add_person(self, key: str, name: str, role: str) -> host_api.PersonView:
        """Remember a key before it ever came."""
        with self._acting() as now:
            return person_model(self._share.add_person(key, name, role, now))

    def forget_person(self, fingerprint: str) -> None:
        """Forget somebody, role and block included."""
        with self._acting() as now:
            self._share.forget_person(fingerprint, now)

    def invites(self) -> list[host_api.InviteView]:
        """Every invite, the newest last; those that work have their strings."""
        now = self._controller.clock()
        return [self._shown(invite, now) for invite in self._share.state.invites.all()]

    def _shown(self, invite: Invite, now: float) -> host_api.InviteView:
        """With its strings, and as the last of them the text to send ("invitation")."""
        strings = self._strings(invite.user) if invite.works(now) else dict[str, str]()
        shown = invite_model(invite, now)
        if not strings:
            return shown
        text = invitation_text(shown, strings)
        return msgspec.structs.replace(shown, strings={**strings, "invitation": text})

    def people(self) -> list[host_api.PersonView]:
        """Everybody known, the most recently seen first."""
        return [person_model(person) for person in self._share.state.people.all()]

    @property
    def secret(self) -> str:
        """What lets unknown keys in, behind token or alias, where they are accepted."""
        return self._share.state.address.secret

    def parts(self) -> Parts:
        """What the share contributes to a Snapshot, at this moment."""
        controller, state = self._controller, self._share.state
        reports = controller.reports()
        clients = [c for c in state.connected.all() if c.arrival.client_id in reports]
        return Parts(
            token=state.address.token,
            token_rotates_at=state.address.rotates_at(state.settings.rules.rotate_every),
            locked=state.address.locked,
            ending=state.policies.ending(),
            pending=[pending_model(request) for request in state.requests.all()],
            clients=[models.client_model(c, *reports[c.arrival.client_id]) for c in clients],
            forwards=models.forwards_of(clients, {k: r for k, (_, r) in reports.items()}),
            invites=self.invites(),
            people=self.people(),
            traffic=models.traffic_model(controller.total),
            roles=list(state.settings.roles),
            log=controller.log.newest,
            unsaved=controller.unsaved,
        )

    @contextmanager
    def _acting(self) -> Generator[float]:
        try:
            yield self._controller.clock()
        except ActError as error:
            status, title = _STATUS[error.kind]
            raise ApiError(status, title, error.detail) from error
        finally:
            self._controller.carry()
