"""Reusable pieces of the TUI; they draw, they do not call."""
