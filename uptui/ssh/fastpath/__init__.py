"""asyncssh's packets with few copies and few system calls; speed only."""
