"""Building blocks of synthetic metrics: profiles, noises, events. All are [S, T] arrays drawn for S streams at once.

Shape legend: S streams, T steps. Nothing here has a unit; `families` scales and combines the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Grid:
    """The streams to draw: how many, when, and from which generator."""

    rng: np.random.Generator
    count: int
    times_T: Float64
    step_seconds: float
    events: bool = True
    """Unannounced events (bursts, shifts, regime switches); off if only labelled faults may happen."""
    outliers: bool = True
    """Heavy-tailed noise and rare jobs, single samples of which can look like faults."""

    @property
    def shape(self) -> tuple[int, int]:
        """(S, T)."""
        return self.count, len(self.times_T)

    def each(self, low: float, high: float) -> Float64:
        """[S, 1] uniform parameter per stream."""
        return self.rng.uniform(low, high, (self.count, 1))

    def each_log(self, low: float, high: float) -> Float64:
        """[S, 1] log-uniform parameter per stream."""
        return np.exp(self.rng.uniform(np.log(low), np.log(high), (self.count, 1)))

    def some(self, share: float) -> npt.NDArray[np.bool_]:
        """[S, 1] true for about this share of the streams."""
        return self.rng.random((self.count, 1)) < share


def scan(noise_ST: Float64, keep_S1: Float64) -> Float64:
    """First-order recursion y_t = keep * y_(t-1) + noise_t."""
    out = np.empty_like(noise_ST.T)
    last = np.zeros(noise_ST.shape[0])
    keep = keep_S1[:, 0]
    for step, row in enumerate(np.ascontiguousarray(noise_ST.T)):
        last = keep * last + row
        out[step] = last
    return np.ascontiguousarray(out.T)


def autoregressive(grid: Grid, minutes_S1: Float64) -> Float64:
    """Unit-variance AR(1) noise with the given correlation time."""
    keep = np.exp(-grid.step_seconds / (60.0 * minutes_S1))
    noise = grid.rng.standard_normal(grid.shape) * np.sqrt(1 - keep**2)
    return scan(noise, keep)


def daily(grid: Grid) -> Float64:
    """Random daily profile in about [-1, 1]: harmonics or a plateau of working hours, with weekends and busy days."""
    hours = grid.times_T[None, :] / 3600.0 % 24.0
    phase = grid.each(0, 24)
    smooth = np.zeros(grid.shape)
    for harmonic in range(1, 7):
        size = grid.each(0, 1) * harmonic**-1.2 * (grid.some(0.6) if harmonic > 1 else 1)
        smooth += size * np.cos(2 * np.pi * harmonic * (hours - phase - grid.each(0, 24 / harmonic)) / 24)
    away = np.abs((hours - phase + 12) % 24 - 12)
    plateau = 2 / (1 + np.exp((away - grid.each(2, 8)) / grid.each_log(0.05, 1.5))) - 1
    profile = np.where(grid.some(0.3), plateau, smooth / np.maximum(np.abs(smooth).max(axis=1, keepdims=True), 1e-9))
    return profile * _amplitude(grid)


def _amplitude(grid: Grid) -> Float64:
    """[S, T] amplitude of each day: some streams rest at weekends, and some days are busier than others."""
    day = np.floor((grid.times_T - grid.times_T[0]) / DAY_SECONDS).astype(int)
    weekday = np.floor(grid.times_T / DAY_SECONDS + 3).astype(int) % 7
    swing = grid.each(0, 0.3) * grid.some(0.6)
    busy = np.exp(swing * grid.rng.standard_normal((grid.count, day[-1] + 1)))[:, day]
    rest = np.where(grid.some(0.5), grid.each(0.1, 0.9), 1.0)
    amplitude: Float64 = busy * np.where((weekday >= 5)[None, :], rest, 1.0)
    return amplitude


LIGHT_TAILED = np.array([0, 3, 4, 5, 8])
"""Kinds of `noise` without outliers: Gaussian, autoregressive, uniform."""


def noise(grid: Grid) -> Float64:
    """Unit-scale noise, one of nine kinds per stream."""
    rng, shape = grid.rng, grid.shape
    white = rng.standard_normal(shape)
    fast, slow = autoregressive(grid, grid.each_log(2, 60)), autoregressive(grid, grid.each_log(60, 1500))
    volatility = np.exp(0.8 * autoregressive(grid, grid.each_log(30, 3000)))
    kinds: list[Float64] = [
        white,
        rng.laplace(size=shape) * 0.7,
        np.clip(rng.standard_t(3, shape), -30, 30) * 0.6,
        fast,
        slow + 0.3 * white,
        0.7 * fast + 0.7 * white,
        white * volatility * 0.7,
        rng.gamma(1.5, 1.0, shape) - 1.5,
        rng.uniform(-1.7, 1.7, shape),
    ]
    allowed = np.arange(len(kinds)) if grid.outliers else LIGHT_TAILED
    choice = allowed[rng.integers(len(allowed), size=grid.count)]
    return np.stack([kinds[kind][row] for row, kind in enumerate(choice)])


def happens(grid: Grid, per_day_S1: Array) -> npt.NDArray[np.bool_]:
    """[S, T] true at the events of a Poisson process; none if events are off."""
    chance = np.minimum(per_day_S1 * grid.step_seconds / DAY_SECONDS, 0.3) * grid.events
    return grid.rng.random(grid.shape) < chance


def bursts(grid: Grid) -> Float64:
    """Pareto-sized bursts that decay or end immediately."""
    size = np.minimum(grid.rng.pareto(grid.each(1.2, 3.0), grid.shape), 50) * happens(grid, grid.each_log(0.05, 10))
    return scan(size, np.exp(-grid.step_seconds / (60 * grid.each_log(0.3, 120))) * grid.some(0.7))


def episodes(grid: Grid) -> Float64:
    """[S, T] 0 while calm, otherwise the size of the current episode; typical lengths differ by stream.

    Lengths are from a few to hundreds of samples, whatever the step; each episode draws a new log-normal size. All calm
    if events are off.
    """
    if not grid.events:
        return np.zeros(grid.shape)
    leave_calm, leave_busy = 1 / grid.each_log(8, 600), 1 / grid.each_log(2, 200)
    chance_ST = grid.rng.random(grid.shape)
    busy_ST = np.zeros(grid.shape, dtype=bool)
    busy = np.zeros(grid.count, dtype=bool)
    for step in range(grid.shape[1]):
        busy = busy ^ (chance_ST[:, step] < np.where(busy, leave_busy[:, 0], leave_calm[:, 0]))
        busy_ST[:, step] = busy
    size = np.exp(grid.each(0.0, 0.8) * _drawn_at(grid, np.diff(busy_ST, axis=1, prepend=False)))
    return np.where(busy_ST, size, 0.0)


def volatile(grid: Grid) -> Float64:
    """Noise whose spread wanders over orders of magnitude (stochastic volatility), from light to heavy tails."""
    spread = np.zeros(grid.shape)
    for samples in (grid.each_log(3, 30), grid.each_log(30, 1000)):
        spread += grid.each(0, 1.0) * autoregressive(grid, samples * grid.step_seconds / 60.0)
    tails = np.clip(grid.rng.standard_t(grid.each_log(2, 30), grid.shape), -50, 50)
    white = tails if grid.outliers else grid.rng.standard_normal(grid.shape)
    return white * np.exp(spread)


def shots(grid: Grid) -> Float64:
    """Shot noise: sudden heavy-tailed spikes, alone or in clusters, that last one sample or decay."""
    chance = grid.each_log(1e-3, 0.2) * np.where(grid.some(0.5), np.minimum(episodes(grid), 3.0), 1.0) * grid.events
    height = np.minimum(grid.rng.pareto(grid.each(1.0, 4.0), grid.shape) + 0.2, 100.0)
    height *= grid.rng.random(grid.shape) < chance
    return scan(height, np.exp(-1 / grid.each_log(0.2, 10)) * grid.some(0.5))


def shifts(grid: Grid) -> Float64:
    """Level shifts: a few lasting jumps of unit scale."""
    jumps = grid.rng.standard_normal(grid.shape) * happens(grid, grid.each_log(0.02, 1))
    return np.cumsum(jumps, axis=1)


def held(grid: Grid, per_day_S1: Array) -> Float64:
    """Piecewise constant standard normal levels, redrawn at random times."""
    chance = np.minimum(per_day_S1 * grid.step_seconds / DAY_SECONDS, 1.0)
    change = grid.rng.random(grid.shape) < chance
    return _drawn_at(grid, change)


def _drawn_at(grid: Grid, change_ST: npt.NDArray[np.bool_]) -> Float64:
    """Standard normal numbers, one at the start and at every change, held until the next."""
    start = np.maximum.accumulate(np.where(change_ST, np.arange(grid.shape[1])[None, :], 0), axis=1)
    return np.take_along_axis(grid.rng.standard_normal(grid.shape), start, axis=1)


def regimes(grid: Grid) -> npt.NDArray[np.bool_]:
    """Two-state switching: true while in the second regime."""
    if not grid.events:
        return np.zeros(grid.shape, dtype=bool)
    return np.asarray(held(grid, grid.each_log(0.1, 6)) > grid.each(0, 1.5))


CRON_SECONDS = (900.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0, 86400.0)


def cron(grid: Grid) -> Float64:
    """Scheduled spikes of about unit height, one to several steps wide, each run slightly different."""
    period = grid.rng.choice(CRON_SECONDS if grid.outliers else CRON_SECONDS[:3], (grid.count, 1))
    width = np.minimum(np.maximum(grid.each_log(60, 1800), grid.step_seconds), 0.4 * period)
    phase = (grid.times_T[None, :] - grid.each(0, 1) * period) % period
    run = np.floor(grid.times_T[None, :] / period).astype(int)
    height = np.exp((0.3 if grid.outliers else 0.05) * grid.rng.standard_normal((grid.count, 997)))
    spikes: Float64 = np.where(phase < width, np.take_along_axis(height, run % 997, axis=1), 0.0)
    return spikes


def walk(grid: Grid) -> Float64:
    """Random walk of unit size per day."""
    size = np.sqrt(grid.step_seconds / DAY_SECONDS)
    path: Float64 = np.cumsum(grid.rng.standard_normal(grid.shape), axis=1) * size
    return path


def ramps(grid: Grid, hours_S1: Float64) -> Float64:
    """Sawtooth in [0, 1]: fills up over about `hours_S1`, then starts over; each cycle is slightly different."""
    speed = grid.step_seconds / (3600.0 * hours_S1) * np.exp(0.3 * held(grid, 24 / hours_S1))
    filled: Float64 = np.cumsum(speed, axis=1) + grid.each(0, 1)
    return filled % 1.0
