"""Keeps the warnings of those who wait true: whose name looks like that of somebody else."""

from collections.abc import Iterator

from uptui.core.access import NAMELESS, said_invite
from uptui.core.lookalikes import Known, by_skeleton, warning
from uptui.core.requests import Request
from uptui.core.share_state import ShareState


def warn(state: ShareState, now: float) -> None:
    """Look again at every request: after one has come, and after somebody has joined."""
    waiting = state.requests.all()
    if waiting:
        known = by_skeleton(one for one in _known(state, now) if one.name != NAMELESS)
        for request in waiting:
            name, said = request.name, request.arrival.user
            request.warning = warning(name, said, known, _own(request))


def _own(request: Request) -> set[str]:
    said = said_invite(request.arrival)
    return {request.arrival.fingerprint, *(said[:1] if said else ())}


def _known(state: ShareState, now: float) -> Iterator[Known]:
    """Everybody with a name, the most telling first."""
    for person in state.people.all():
        yield Known(person.name, "another key is known as", person.fingerprint)
    for fingerprint, key in state.authorized.items():
        yield Known(key.name, "another key is authorized as", fingerprint)
    for client in state.connected.all():
        yield Known(client.grant.name, "another key is here as", client.arrival.fingerprint)
    for invite in state.invites.all():
        if invite.works(now):
            yield Known(invite.name, "there is an invite for", invite.route)
    for request in state.requests.all():
        yield Known(request.name, "another key waits as", request.arrival.fingerprint)
