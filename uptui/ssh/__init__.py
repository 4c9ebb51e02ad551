"""What the SSH servers of host and relay share: their offer, and how packets are moved."""
