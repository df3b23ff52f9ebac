"""Fleets of synthetic streams that live through a change in the middle of the recording.

Shape legend: S streams, T steps.
"""

from __future__ import annotations

import numpy as np

from detector.models.windows import Float64
from detector.synthetic import streams

SCENARIOS = ("none", "level", "period", "poison")
STEP_SECONDS = 60.0
FASTER = 1.5
POISONED_STEPS = 60


def scenario(name: str, seed: int, count: int, steps: int) -> tuple[Float64, Float64]:
    """([S, T] times, [S, T] values) of one of `SCENARIOS`.

    `level`: all values double. `period`: everything goes half as fast again. `poison`: an hour in which every other
    sample is a spike of thirty deviations.
    """
    half = steps // 2
    drawn = streams(seed, count, half + int(FASTER * half) + 1, STEP_SECONDS, events=False)
    at_T = np.arange(steps)
    if name == "period":
        at_T[half:] = half + FASTER * np.arange(steps - half)
    values_ST = drawn.values_ST[:, at_T]
    if name == "level":
        values_ST[:, half:] *= 2
    elif name == "poison":
        hit = np.random.default_rng(seed).random((count, POISONED_STEPS)) < 0.5
        deviation = values_ST[:, :half].std(axis=1, keepdims=True)
        values_ST[:, half : half + POISONED_STEPS] += 30 * deviation * hit
    return np.broadcast_to(drawn.times_T[:steps], values_ST.shape), values_ST
