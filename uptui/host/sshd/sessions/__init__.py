"""Session channels: shells, commands, and what serves them."""
