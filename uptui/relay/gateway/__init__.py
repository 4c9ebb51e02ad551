"""The relay's SSH server: jump for everybody, plain for user names that are routes."""
