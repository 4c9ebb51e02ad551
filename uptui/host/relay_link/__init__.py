"""The host's side of the relay: log in, publish names, answer dials, come back after a loss."""

from uptui.host.relay_link.endpoint import RelayEndpoint, endpoint_of
from uptui.host.relay_link.link import LinkHooks, LinkSettings, RelayLink, Wish

__all__ = ["LinkHooks", "LinkSettings", "RelayEndpoint", "RelayLink", "Wish", "endpoint_of"]
