"""Five metrics that instances of a web service report while all is well, in their natural units.

They are deliberately free of surprises: anything that stands out was injected. None can be negative, and ratios cannot
exceed 1. Shape legend: S streams, T steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from detector.synthetic.parts import Float64, Grid, autoregressive, daily


def requests(grid: Grid) -> Float64:
    """Requests per second: many by day, few at night, with noise in proportion."""
    load = 1 + grid.each(0.1, 0.6) * daily(grid)
    return grid.each_log(20, 2_000) * load * np.exp(grid.each(0.02, 0.06) * grid.rng.standard_normal(grid.shape))


def duration(grid: Grid) -> Float64:
    """Mean seconds per request: slower in busy hours."""
    load = 1 + grid.each(0, 0.3) * daily(grid) + 0.05 * autoregressive(grid, grid.each_log(10, 60))
    return grid.each_log(0.01, 0.3) * load * np.exp(grid.each(0.03, 0.1) * grid.rng.standard_normal(grid.shape))


def cpu(grid: Grid) -> Float64:
    """Share of the processors in use."""
    busy = grid.each(0.15, 0.6) * (1 + grid.each(0, 0.3) * daily(grid))
    busy = busy + grid.each(0.005, 0.03) * grid.rng.standard_normal(grid.shape)
    return np.clip(busy, 0.0, 1.0)


def memory(grid: Grid) -> Float64:
    """Bytes in use: wanders slowly."""
    wander = 0.03 * autoregressive(grid, grid.each_log(60, 600)) + 0.002 * grid.rng.standard_normal(grid.shape)
    return np.round(grid.each_log(5e8, 8e9) * (1 + wander))


def queue(grid: Grid) -> Float64:
    """Waiting jobs, a whole number."""
    return grid.rng.poisson(grid.each_log(40, 400) * (1 + grid.each(0, 0.3) * daily(grid))).astype(np.float64)


SERVICES: dict[str, Callable[[Grid], Float64]] = {
    "http_requests_per_second": requests,
    "http_request_duration_seconds": duration,
    "cpu_utilization_ratio": cpu,
    "memory_used_bytes": memory,
    "queue_length": queue,
}
"""Metric -> generator."""
