"""The process that a worker runs in: signals, a configuration that is read again, hangs, Python's garbage collector."""
