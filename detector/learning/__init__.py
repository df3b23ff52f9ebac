"""Continual learning: the shared network goes on learning from the streams that a worker sees.

`buffer` remembers what some streams were forecast from; `process` hands it to a process of its own, which tunes a
candidate (`tuning`) and judges it on samples that it has not learnt from; `versions` says which weights a partition's
streams are forecast with; `continual` is what the worker's loop calls.
"""
