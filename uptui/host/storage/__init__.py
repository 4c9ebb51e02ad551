"""What outlives the daemon: its state directory, the documents in it, the lock, the record."""
