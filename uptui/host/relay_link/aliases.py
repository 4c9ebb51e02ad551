"""What can be done with lasting names on a relay, with or without a share running here."""

import re
from typing import Final

import msgspec

from uptui.errors import RelayRefusedError
from uptui.host.relay_link.relay_client import RelayClient
from uptui.protocol import host_aliases, relay_api

_PATTERN: Final = re.compile(r"[A-Za-z0-9._:-]+|\[[A-Za-z0-9._:-]+\]:[0-9]{1,5}")
"""One host in a known_hosts line, without wildcards."""


def shown(alias: relay_api.Alias, serving: str | None) -> host_aliases.AliasView:
    """An alias for people; `serving` is the one under which this daemon is reached."""
    return host_aliases.AliasView(
        name=alias.name,
        port=alias.port,
        created_at=alias.created_at,
        last_used_at=alias.last_used_at,
        expires_at=alias.expires_at,
        online=alias.online,
        serving=alias.name == serving,
        known_hosts=alias.known_hosts,
    )


async def listed(client: RelayClient, serving: str | None = None) -> list[host_aliases.AliasView]:
    """Every alias of our identity."""
    return [shown(alias, serving) for alias in await client.aliases()]


async def available(client: RelayClient, name: str) -> host_aliases.AliasAvailability:
    """Whether the name could be ours."""
    found = await client.availability(name)
    return host_aliases.AliasAvailability(
        name=found.name,
        available=found.available,
        reason=found.reason or "",
        suggestions=found.suggestions,
    )


async def claimed(client: RelayClient, name: str, host_key: str) -> host_aliases.AliasView:
    """Make a name ours and pin it to our host key. Raises RelayRefusedError with suggestions."""
    return shown(await client.claim(name, host_key), None)


async def transferred(client: RelayClient, name: str, to: str) -> host_aliases.AliasView:
    """Give a name with its port to the identity whose public key is `to`."""
    return shown(await client.transfer(name, to), None)


async def repinned(
    client: RelayClient, name: str, host_key: str, serving: str | None = None
) -> host_aliases.AliasView:
    """Say as its owner that a name has our host key from now on. Raises RelayRefusedError."""
    if (await client.availability(name)).available:
        raise RelayRefusedError("not_found", f"{name!r} is nobody's alias yet: claim it first")
    kept = shown(await client.claim(name, host_key, rotate=True), serving)
    return msgspec.structs.replace(kept, known_hosts=_ours(kept.known_hosts, host_key))


def _ours(lines: list[str], host_key: str) -> list[str]:
    """Those for one host and our own key, and no more of what they say: a relay could have added a
    key that it holds."""
    wanted = host_key.split()[:2]
    words = [line.split() for line in lines]
    hosts = [host for host, *key in filter(None, words) if key[:2] == wanted]
    return [" ".join((host, *wanted)) for host in dict.fromkeys(hosts) if _PATTERN.fullmatch(host)]
