"""What our processes ask of Python and the machine: loop, memory, signals, private files."""
