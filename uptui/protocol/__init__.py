"""The only vocabulary shared by the host, the relay, the TUI and the CLI; no IO here."""
