"""Seeded synthetic streams of several families, with units, rounding and gaps drawn at random per stream.

Shape legend: S streams, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.synthetic.families import FAMILIES
from detector.synthetic.parts import Float64, Grid

START = 1_760_000_000.0
"""Default unix time of the first step (a Thursday in October 2025)."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams on a common clock."""

    times_T: Float64
    values_ST: Float64
    """NaN where a sample is missing."""
    families: tuple[str, ...]
    """[S] family name of each stream."""


def streams(
    seed: int,
    count: int,
    steps: int,
    step_seconds: float,
    *,
    start: float = START,
    families: Sequence[str] = tuple(FAMILIES),
    events: bool = True,
    outliers: bool = True,
    gaps: float = 0.0,
) -> Streams:
    """Draw `count` streams of `steps` samples; the same arguments give the same streams.

    Families take turns. `events=False` leaves out everything that an operator might call an anomaly (bursts, level
    shifts, regime switches); `outliers=False` leaves out heavy-tailed noise and jobs that run less than hourly. Use
    both for fleets whose only anomalies are injected. `gaps` is the share of streams that have gaps.

    >>> drawn = streams(seed=1, count=3, steps=5, step_seconds=60, families=["daily", "counts"])
    >>> drawn.values_ST.shape, drawn.families
    ((3, 5), ('daily', 'counts', 'daily'))
    """
    times_T: Float64 = start + step_seconds * np.arange(steps, dtype=np.float64)
    names = tuple(families[row % len(families)] for row in range(count))
    values_ST = np.empty((count, steps))
    for index, name in enumerate(families):
        rows = np.arange(index, count, len(families))
        if len(rows):
            rng = np.random.default_rng([seed, index])
            grid = Grid(rng, len(rows), times_T, step_seconds, events, outliers)
            values_ST[rows] = FAMILIES[name](grid)
    rng = np.random.default_rng([seed, len(families)])
    finish = Grid(rng, count, times_T, step_seconds, events, outliers)
    return Streams(times_T, _with_gaps(finish, _in_units(finish, values_ST), gaps), names)


def _in_units(grid: Grid, values_ST: Float64) -> Float64:
    """Put half of the streams in another unit, and round some to a hundredth or a tenth of their spread."""
    unit = np.where(grid.some(0.5), grid.each_log(1e-3, 1e6), 1.0)
    spread = np.maximum(values_ST.std(axis=1, keepdims=True), 1e-9)
    tick = spread * np.where(grid.some(0.5), 0.1, 0.01)
    rounded = np.where(grid.some(0.15), np.round(values_ST / tick) * tick, values_ST)
    return rounded * unit


def _with_gaps(grid: Grid, values_ST: Float64, share: float) -> Float64:
    """Remove single samples and whole stretches from a share of the streams."""
    if share <= 0:
        return values_ST
    single = grid.rng.random(grid.shape) < grid.each_log(1e-4, 0.03)
    begins = grid.rng.random(grid.shape) < 1e-3
    length = np.minimum(grid.rng.geometric(1 / 30, grid.shape), 400)
    ends = np.maximum.accumulate(np.where(begins, np.arange(grid.shape[1])[None, :] + length, 0), axis=1)
    stretch = np.arange(grid.shape[1])[None, :] < ends
    missing = (single | stretch) & grid.some(share)
    return np.where(missing, np.nan, values_ST)
