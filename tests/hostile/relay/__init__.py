"""A relay that attacks the hosts that use it."""
