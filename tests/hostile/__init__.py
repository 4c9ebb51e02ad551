"""Attacks on the real programs, each beside an honest session that must notice nothing."""
