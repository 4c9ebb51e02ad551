"""What host and relay share of connections: where they come from, and who may wait how long."""
