"""The process that a worker runs in: signals, configuration reloads, hangs, and Python's garbage collector."""
