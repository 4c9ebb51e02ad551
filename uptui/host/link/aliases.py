"""What can be done with lasting names on a relay, with or without a share running here."""

from uptui.errors import RelayRefusedError
from uptui.host.link.relay_client import RelayClient
from uptui.protocol import host_api, relay_api


def shown(alias: relay_api.Alias, serving: str | None) -> host_api.Alias:
    """An alias for people; `serving` is the one under which this daemon is reached."""
    return host_api.Alias(
        name=alias.name,
        port=alias.port,
        created_at=alias.created_at,
        last_used_at=alias.last_used_at,
        expires_at=alias.expires_at,
        online=alias.online,
        serving=alias.name == serving,
        known_hosts=alias.known_hosts,
    )


async def listed(client: RelayClient, serving: str | None = None) -> list[host_api.Alias]:
    """Every alias of our identity."""
    return [shown(alias, serving) for alias in await client.aliases()]


async def available(client: RelayClient, name: str) -> host_api.AliasAvailability:
    """Whether the name could be ours."""
    found = await client.availability(name)
    return host_api.AliasAvailability(
        name=found.name,
        available=found.available,
        reason=found.reason or "",
        suggestions=found.suggestions,
    )


async def claimed(client: RelayClient, name: str, host_key: str) -> host_api.Alias:
    """Make a name ours and pin it to our host key. Raises RelayRefusedError with suggestions."""
    return shown(await client.claim(name, host_key), None)


async def transferred(client: RelayClient, name: str, to: str) -> host_api.Alias:
    """Give a name with its port to the identity whose public key is `to`."""
    return shown(await client.transfer(name, to), None)


async def repinned(
    client: RelayClient, name: str, host_key: str, serving: str | None = None
) -> host_api.Alias:
    """Say as its owner that a name has our host key from now on. Raises RelayRefusedError."""
    if (await client.availability(name)).available:
        raise RelayRefusedError("not_found", f"{name!r} is nobody's alias yet: claim it first")
    return shown(await client.claim(name, host_key, rotate=True), serving)
