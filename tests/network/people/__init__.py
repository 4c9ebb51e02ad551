"""Who gets in and what they may do, through the real commands, relay and clients."""
