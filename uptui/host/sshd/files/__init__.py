"""Files over SSH: SFTP version 3 as OpenSSH's sftp-server speaks it, and scp."""
