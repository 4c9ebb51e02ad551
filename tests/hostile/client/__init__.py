"""A client that attacks host, relay and other clients."""
