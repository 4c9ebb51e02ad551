"""Terminals that outlive their viewers: the shared one and kept shells."""
