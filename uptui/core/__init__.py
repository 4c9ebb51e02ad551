"""What the host decides: plain synchronous Python, no IO, `now` passed in."""
