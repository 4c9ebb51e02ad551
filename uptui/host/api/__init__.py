"""The host API: HTTP on a Unix socket, for the TUI and the CLI."""
