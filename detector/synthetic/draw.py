"""What the network is trained on: streams of all families, with mixed steps and starts."""

from __future__ import annotations

import numpy as np

from detector.synthetic.parts import Float64
from detector.synthetic.streams import START, streams

STEP_SECONDS = (1, 10, 30, 60, 60, 60, 120, 300, 300, 300, 300, 600, 900, 1800, 3600, 3600)
"""Steps of the curriculum, repeated according to how often each should be drawn."""
GAPS = 0.3


def draw_streams(seed: list[int], count: int, steps: int) -> tuple[Float64, Float64]:
    """([S, T] times, [S, T] values) of synthetic streams with mixed steps and starts."""
    rng = np.random.default_rng(seed)
    groups = min(16, count)
    times, values = [], []
    for part in np.array_split(np.arange(count), groups):
        step = float(rng.choice(STEP_SECONDS))
        start = START + float(rng.integers(0, 7 * 86400))
        drawn = streams(int(rng.integers(2**31)), len(part), steps, step, start=start, gaps=GAPS)
        times.append(np.broadcast_to(drawn.times_T, drawn.values_ST.shape))
        values.append(drawn.values_ST)
    return np.concatenate(times), np.concatenate(values)
