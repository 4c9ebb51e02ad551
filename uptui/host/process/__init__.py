"""Programs of this machine: how they start, run on a terminal or pipes, and end; knows no SSH."""
