"""Brings a client and a host's stream together and moves their bytes; knows no HTTP and no SSH."""
