"""Works out what to publish and how clients reach it, from our names and the relay's word."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from uptui.core.connect_strings import Target, strings
from uptui.host.relay_link.link import Wish
from uptui.host.relay_link.status import LinkStatus
from uptui.protocol.control import MAX_ROUTES, Route
from uptui.protocol.host_api import JumpWay, PlainWay, PortWay, Strings, Ways
from uptui.protocol.names import RouteName, is_invite, split_secret, with_secret

JUMP_USER = "jump"


@dataclass(frozen=True)
class Names:
    """By what names the share is to be reached now."""

    token: RouteName
    alias: str | None
    invites: tuple[RouteName, ...]
    e2e_only: bool
    secret: str = ""
    """Of token and alias, where it is what lets unknown keys in."""
    plain_invites: bool = False
    """Whether strings with a secret are offered for the plain way."""


def wish(names: Names, status: LinkStatus) -> Wish:
    """What to publish. The alias has the port; the token has it while there is no alias."""
    alias_refused = any(refusal.name == names.alias for refusal in status.refused)
    token_port = names.alias is None or alias_refused
    routes = [Route(name=names.token, kind="token", port=token_port)]
    if names.alias is not None and names.alias not in status.lost:
        routes.insert(0, Route(name=RouteName(names.alias), kind="alias"))
    room = MAX_ROUTES - len(routes)
    routes += [Route(name=name, kind="invite", port=False) for name in names.invites[:room]]
    return Wish(tuple(routes), names.e2e_only)


class Addresses:
    """Strings of one share."""

    def __init__(self, host_keys: tuple[str, ...], hostname: str, directory: str) -> None:
        self._host_keys = host_keys
        self._hostname = re.sub(r"[^a-z0-9-]+", "-", hostname.lower()).strip("-") or "host"
        self._directory = directory

    def name(self, names: Names, status: LinkStatus) -> RouteName:
        """The name that people are given: the alias when the relay has granted it."""
        alias = RouteName(names.alias) if names.alias else None
        return alias if alias is not None and alias in status.granted else names.token

    def strings(self, names: Names, status: LinkStatus) -> Strings:
        """Of the share itself."""
        name = self.name(names, status)
        user = with_secret(name, names.secret) if names.secret else name
        ways = self._ways(user, name, names, status)
        return strings(self._target(name, names), ways)

    def invite_strings(self, user: str, names: Names, status: LinkStatus) -> Mapping[str, str]:
        """Of one invite: the session's port with both halves of the invite as user name."""
        ways = self._ways(user, self.name(names, status), names, status)
        return strings(self._target(split_secret(user)[0], names), ways).strings

    def command(self, user: str, names: Names, status: LinkStatus) -> str:
        """The end-to-end ssh command with this user name; empty while there is none."""
        name = split_secret(user)[0]
        port_of = self.name(names, status) if is_invite(name) else name
        ways = replace(self._ways(user, port_of, names, status), plain=None)
        return strings(self._target(name, names), ways).strings.get("ssh", "")

    def _target(self, name: RouteName, names: Names) -> Target:
        nickname = names.alias or f"uptui-{self._hostname}"
        return Target(name, nickname, self._directory, self._host_keys)

    def _ways(self, user: str, port_of: RouteName, names: Names, status: LinkStatus) -> Ways:
        """Those of the name in `user`; on each the secret is where the relay does not see it."""
        name, secret = split_secret(user)
        if status.welcome is None or name not in status.granted:
            return Ways()
        offered = status.welcome.ways
        host, ssh = offered.public_host, offered.ssh_port
        granted = status.granted.get(port_of)
        port = granted.port if granted else None
        login = user if secret else ""
        plain = ssh if not names.e2e_only and (not secret or names.plain_invites) else None
        return Ways(
            port=PortWay(host=host, port=port, user=user) if port else None,
            jump=JumpWay(host=host, port=ssh, user=JUMP_USER, target=name, login=login)
            if ssh
            else None,
            plain=PlainWay(host=host, port=plain, user=user) if plain else None,
        )
