"""The host's side of the relay: log in, publish names, answer dials, come back after a loss."""

from uptui.host.link.endpoint import Endpoint, endpoint_of
from uptui.host.link.link import Hooks, LinkSettings, RelayLink, Wish

__all__ = ["Endpoint", "Hooks", "LinkSettings", "RelayLink", "Wish", "endpoint_of"]
