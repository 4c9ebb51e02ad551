"""SFTP version 3 as OpenSSH's sftp-server speaks it, over an SSH channel."""
