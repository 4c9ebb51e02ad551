"""The SSH server under real clients over loopback: exec, terminals, environment, transport."""
