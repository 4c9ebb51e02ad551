"""Makes core real: SSH server, PTYs, forwards, files, relay link, API daemon, store."""
