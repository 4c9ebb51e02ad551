"""Typed calls to the host API over its Unix socket: the only way of the TUI and CLI to the host."""

from uptui.client.host import Event, HostClient

__all__ = ["Event", "HostClient"]
