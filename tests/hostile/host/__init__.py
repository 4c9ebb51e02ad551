"""A host that attacks the relay and those who share it."""
