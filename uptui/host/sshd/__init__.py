"""The embedded SSH server: asyncssh, processes, files, forwards."""
