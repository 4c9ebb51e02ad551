"""Forwarded connections: TCP, Unix sockets, the agent, X11."""
