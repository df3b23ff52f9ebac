"""Continual learning: the shared network keeps learning from the streams that a worker sees.

`buffer` remembers the network's inputs for some streams. `process` runs a separate process, which tunes a candidate
(`tuning`) and judges it on samples that it has not learned from. `versions` knows which weights each partition's
streams are forecast with. The worker's loop calls `continual`.
"""
