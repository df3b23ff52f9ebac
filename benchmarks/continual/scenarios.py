"""Fleets of synthetic streams that live through a change in the middle of the recording.

Shape legend: S streams, T steps, H harmonics.
"""

from __future__ import annotations

import numpy as np

from detector.models.windows import Float64
from detector.synthetic import START, streams

FLEETS = ("curriculum", "cycles")
"""Families that the shipped weights were trained on, and streams with a season that no calendar knows."""
CHANGES = ("none", "level", "period", "poison")
STEP_SECONDS = 60.0
FASTER = 1.5
POISONED_STEPS = 60
POISONED_WITHIN = 64
SHORTEST, LONGEST = 40.0, 160.0
"""Season of `cycles`, steps."""
HARMONICS = 3


def scenario(fleet: str, change: str, seed: int, count: int, steps: int) -> tuple[Float64, Float64]:
    """([S, T] times, [S, T] values) of one of `FLEETS`, to which one of `CHANGES` happens in the middle.

    `level`: all values double. `period`: seasons become half as fast again (in the curriculum, everything does).
    `poison`: an hour, beginning at random within the next one, in which every other sample is a spike of thirty
    deviations.
    """
    half = steps // 2
    pace_T = np.ones(steps)
    if change == "period":
        pace_T[half:] = FASTER
    at_T = np.cumsum(pace_T) - 1
    values_ST = (_curriculum if fleet == "curriculum" else cycles)(seed, count, at_T)
    if change == "level":
        values_ST[:, half:] *= 2
    elif change == "poison":
        rng = np.random.default_rng(seed)
        begin = half + int(rng.integers(POISONED_WITHIN))
        hit = rng.random((count, POISONED_STEPS)) < 0.5
        deviation = values_ST[:, :half].std(axis=1, keepdims=True)
        values_ST[:, begin : begin + POISONED_STEPS] += 30 * deviation * hit
    return np.broadcast_to(START + STEP_SECONDS * np.arange(steps), values_ST.shape), values_ST


def _curriculum(seed: int, count: int, at_T: Float64) -> Float64:
    drawn = streams(seed, count, int(FASTER * len(at_T)) + 1, STEP_SECONDS, events=False)
    return drawn.values_ST[:, at_T.astype(np.int64)]


def cycles(seed: int, count: int, at_T: Float64) -> Float64:
    """[S, T] loads that go up and down: each its own period, shape and size, noise in proportion to the root."""
    rng = np.random.default_rng(seed)
    period = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), (count, 1)))
    harmonics = np.arange(1, HARMONICS + 1)[:, None, None]
    size_HS1 = rng.uniform(0.3, 1, (HARMONICS, count, 1)) / harmonics**1.2
    size_HS1 *= (harmonics == 1) | (rng.random(size_HS1.shape) < 0.6)
    shift_HS1 = rng.random(size_HS1.shape)

    def wave(turns: Float64) -> Float64:
        """[S, ...] at so many turns of the period."""
        found: Float64 = (size_HS1 * np.sin(2 * np.pi * harmonics * (turns + shift_HS1))).sum(axis=0)
        return found

    shape_ST = wave(at_T / period) / np.abs(wave(np.linspace(0, 1, 100))).max(axis=1, keepdims=True)
    load_ST = 1 + rng.uniform(0.3, 0.9, (count, 1)) * shape_ST
    noise_ST = np.exp(rng.uniform(np.log(0.05), np.log(0.3), (count, 1))) * rng.normal(size=load_ST.shape)
    values: Float64 = np.maximum(load_ST + noise_ST * np.sqrt(np.maximum(load_ST, 0)), 0) * np.exp(
        rng.uniform(0, 9, (count, 1))
    )
    return values
