"""Benchmarks: measurements that anyone can repeat, one command each."""
