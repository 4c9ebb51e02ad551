"""A local user who attacks the daemon of another."""
