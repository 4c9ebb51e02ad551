"""A bad day: links, machines and disks that fail, and what it costs who is connected.

`python3 dev.py faults` runs them at full length and prints the table of docs/reliability.md; the
test command runs the same faults, shorter.
"""
