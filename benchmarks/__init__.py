"""Measurements against a real OpenSSH sshd, interleaved; `python -m benchmarks` runs them all."""
