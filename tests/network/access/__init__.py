"""Who gets in, with real OpenSSH clients against the real SSH server."""
