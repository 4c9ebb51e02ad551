"""The identity key, and the authorized keys with where they come from."""
