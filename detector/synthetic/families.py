"""Families of metrics, each a function from a `Grid` to values [S, T] in the family's natural unit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detector.synthetic.parts import (
    Float64,
    Grid,
    autoregressive,
    bursts,
    cron,
    daily,
    episodes,
    happens,
    held,
    noise,
    ramps,
    regimes,
    scan,
    shifts,
    shots,
    volatile,
    walk,
)


def utilisation(grid: Grid) -> Float64:
    """Percentage of time busy: daily use, scheduled jobs, bursts; clipped to [0, 100]."""
    busy = grid.each(2, 60) + grid.each(0, 25) * grid.some(0.6) * daily(grid)
    busy = busy + grid.each_log(0.1, 8) * noise(grid) + grid.each(5, 60) * grid.some(0.3) * cron(grid)
    busy = busy + grid.each(2, 20) * grid.some(0.4) * bursts(grid) + grid.each(5, 30) * regimes(grid) * grid.some(0.2)
    return np.clip(busy, 0, 100)


def seasonal(grid: Grid) -> Float64:
    """Requests per second: a strong daily profile, noise in proportion, a slow random walk for some."""
    profile = 1 + grid.each(0.2, 0.95) * daily(grid)
    size = grid.each_log(0.01, 0.2)
    return np.maximum(
        profile * (1 + 0.1 * walk(grid) * grid.some(0.3)) + size * noise(grid) * np.sqrt(np.abs(profile)), 0
    )


def counts(grid: Grid) -> Float64:
    """Events per step: Poisson around a daily profile, from nearly none to hundreds."""
    rate = grid.each_log(0.05, 300) * np.exp(
        grid.each(0, 1.2) * daily(grid) + 0.2 * autoregressive(grid, grid.each_log(20, 600))
    )
    rate = rate * (1 + grid.each(0, 3) * grid.some(0.4) * bursts(grid))
    return grid.rng.poisson(np.minimum(rate, 1e6)).astype(np.float64)


def traffic(grid: Grid) -> Float64:
    """Bytes per second: multiplicative seasons and noise, Pareto bursts."""
    log = grid.each(0, 1) * daily(grid) + grid.each(0.02, 0.5) * noise(grid) + 0.3 * grid.some(0.3) * shifts(grid)
    calm = np.exp(np.clip(log, -10, 10)).astype(np.float64)
    return np.asarray(calm + grid.each(0.1, 3) * bursts(grid) * grid.some(0.6), dtype=np.float64)


def drift(grid: Grid) -> Float64:
    """Temperatures and memory: slow wandering and trend with little noise."""
    trend: Float64 = grid.each(-0.3, 0.3) * (grid.times_T - grid.times_T[0])[None, :] / 86400.0
    slow = autoregressive(grid, grid.each_log(100, 5000))
    return (
        20
        + trend
        + walk(grid) * grid.each(0, 1)
        + slow
        + grid.each_log(0.005, 0.3) * noise(grid)
        + grid.each(0, 2) * daily(grid) * grid.some(0.4)
    )


def batch(grid: Grid) -> Float64:
    """Batch jobs: idle most of the time, with scheduled work."""
    idle = grid.each(0, 0.2) + grid.each_log(0.001, 0.1) * noise(grid)
    return np.maximum(idle + cron(grid) * (1 + grid.each_log(0.01, 0.2) * noise(grid)) + cron(grid) * grid.some(0.3), 0)


def ads(grid: Grid) -> Float64:
    """Prices and conversion rates: log-normal, weak seasons, heavy upper tail."""
    log = (
        grid.each(0.1, 0.6) * noise(grid)
        + grid.each(0, 0.5) * daily(grid)
        + 0.3 * autoregressive(grid, grid.each_log(120, 6000))
    )
    return 0.1 * np.exp(np.clip(log, -10, 10)) * (1 + bursts(grid) * grid.some(0.5))


def latency(grid: Grid) -> Float64:
    """Milliseconds: a floor, gamma noise, slow load, timeouts, regimes."""
    jitter = grid.rng.gamma(grid.each(0.7, 8), 1.0, grid.shape)
    load = np.exp(0.3 * autoregressive(grid, grid.each_log(10, 600)) + grid.each(0, 0.5) * daily(grid))
    return (
        grid.each(5, 200)
        + grid.each(0.2, 10) * jitter * load * (1 + 2 * regimes(grid) * grid.some(0.3))
        + 20 * bursts(grid) * grid.some(0.5)
    )


def constant(grid: Grid) -> Float64:
    """Settings and limits: one value, rarely changed, with hardly any noise."""
    level = np.round(grid.each_log(1, 1000))
    changes = np.round(5 * shifts(grid) * grid.some(0.4))
    return (
        level
        + changes
        + 1e-3 * level * noise(grid) * grid.some(0.3)
        + happens(grid, grid.each_log(0.1, 20)) * grid.some(0.3)
    )


def sawtooth(grid: Grid) -> Float64:
    """Heaps and disks: fill up steadily, are emptied, fill up again."""
    return 10 + grid.each(1, 80) * ramps(grid, grid.each_log(0.3, 72)) + grid.each_log(0.01, 3) * noise(grid)


def plateaus(grid: Grid) -> Float64:
    """Levels that hold for a while: fleet sizes, queue classes, thermostats."""
    level = np.round(grid.each_log(1, 20) * held(grid, grid.each_log(0.3, 60)))
    return 50 + level + grid.each_log(0.01, 1) * noise(grid) * grid.some(0.6)


def walks(grid: Grid) -> Float64:
    """Random walks, some slowly pulled back to their mean."""
    steps = grid.rng.standard_normal(grid.shape)
    home: Float64 = autoregressive(grid, grid.each_log(500, 20000)) * 10
    return (
        100
        + np.where(grid.some(0.5), np.cumsum(steps, axis=1), home)
        + grid.each_log(0.05, 3) * noise(grid) * grid.some(0.5)
    )


def shifting(grid: Grid) -> Float64:
    """Noise around a level that jumps now and then."""
    return (
        10
        + grid.each(1, 10) * shifts(grid)
        + grid.each_log(0.05, 1) * noise(grid)
        + grid.each(0, 3) * daily(grid) * grid.some(0.4)
    )


def quantised(grid: Grid) -> Float64:
    """Small integers: threads, connections, replicas."""
    wander = autoregressive(grid, grid.each_log(5, 600)) + grid.each(0, 1.5) * daily(grid) + 0.5 * noise(grid)
    return np.round(np.maximum(grid.each(0, 8) + grid.each_log(0.3, 6) * wander, 0)).astype(np.float64)


def heavy(grid: Grid) -> Float64:
    """Stationary noise with tails far heavier than a normal distribution's."""
    tails = np.clip(grid.rng.standard_t(grid.each(1.5, 4), grid.shape), -200, 200)
    return grid.each(0, 50) + tails + autoregressive(grid, grid.each_log(5, 600)) * grid.each(0, 2)


def onoff(grid: Grid) -> Float64:
    """Network and disk: a calm level, with episodes that are busier and far less steady."""
    busy = episodes(grid)
    calm = grid.each_log(0.003, 0.5) * noise(grid)
    raised = busy * (grid.each(0, 5) * grid.some(0.7) + grid.each_log(0.05, 3) * np.abs(volatile(grid)))
    return grid.each(1, 20) + calm + raised * np.where(grid.some(0.2), -1.0, 1.0) + grid.each(0, 2) * daily(grid)


def uneasy(grid: Grid) -> Float64:
    """Prices, tweets, loads: calm and stormy periods alternate, around a level or as the steps of a path."""
    storm = volatile(grid) * (1 + grid.each(0, 10) * episodes(grid) * grid.some(0.5))
    keep = np.where(grid.some(0.5), grid.each(0, 0.9), 1 - grid.each_log(1e-3, 0.1))
    return 50 + scan(storm, keep) + grid.each(0, 5) * daily(grid) * grid.some(0.5)


def spiky(grid: Grid) -> Float64:
    """Errors and retries: little or nothing, with sudden heavy-tailed spikes, alone or in clusters."""
    floor = grid.each(0, 5) + grid.each_log(1e-3, 0.3) * np.abs(noise(grid)) * grid.some(0.7)
    high = floor + grid.each_log(0.3, 30) * shots(grid) * np.exp(grid.each(0, 1) * daily(grid) * grid.some(0.4))
    return np.where(grid.some(0.3), np.round(high), high)


def jumpy(grid: Grid) -> Float64:
    """Loads that are moved around: steady, then jumping without warning, at times often."""
    jumps = grid.rng.standard_t(2.5, grid.shape).clip(-30, 30) * (
        grid.rng.random(grid.shape) < grid.each_log(2e-3, 0.2) * np.where(grid.some(0.6), episodes(grid), 1.0)
    )
    path = scan(jumps * grid.events, np.where(grid.some(0.3), 1.0, 1 - grid.each_log(1e-3, 0.3)))
    return 20 + path + grid.each_log(0.003, 0.5) * noise(grid) + grid.each(0, 2) * daily(grid) * grid.some(0.4)


FAMILIES: dict[str, Callable[[Grid], Float64]] = {
    "utilisation": utilisation,
    "daily": seasonal,
    "counts": counts,
    "traffic": traffic,
    "drift": drift,
    "batch": batch,
    "ads": ads,
    "latency": latency,
    "constant": constant,
    "sawtooth": sawtooth,
    "plateaus": plateaus,
    "walks": walks,
    "shifting": shifting,
    "quantised": quantised,
    "heavy": heavy,
    "onoff": onoff,
    "uneasy": uneasy,
    "spiky": spiky,
    "jumpy": jumpy,
}
"""Name -> generator."""
