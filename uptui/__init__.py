"""uptui: share a machine that nobody can reach, over SSH, from a terminal."""

__version__ = "0.1.0"
