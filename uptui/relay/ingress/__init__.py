"""How connections come in: listeners, what they speak, their limits, their hand-over."""
