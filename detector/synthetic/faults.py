"""Labelled faults for streams with a known ground truth: tests, `produce`, `demo`, benchmarks.

Sizes depend on the stream before the fault: its noise (typical difference of neighbours), its spread and its level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to a stream, at steps [start, end)."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Before:
    """What a stream looked like before its fault."""

    level: float
    noise: float
    spread: float

    @property
    def size(self) -> float:
        """A deviation that a person would notice at a glance."""
        return max(8 * self.noise, 4 * self.spread, 0.05 * abs(self.level), 1e-9)


Shape = Callable[[Float64, Before, np.random.Generator], Float64]
"""(clean stretch, the stream before it, rng) -> faulty stretch."""


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _spike(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return clean + before.size * rng.uniform(1.0, 2.0, len(clean))


def _dip(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return clean - before.size * rng.uniform(1.0, 2.0, len(clean))


def _level_shift(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return clean + _sign(rng) * before.size * rng.uniform(1.0, 1.5)


def _drift(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    slope = _sign(rng) * before.size * rng.uniform(1.0, 1.5)
    return clean + slope * np.arange(1, len(clean) + 1) / len(clean)


def _variance_burst(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return clean + before.size * rng.standard_normal(len(clean))


def _flat_line(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return np.full_like(clean, before.level)


def _drop_to_zero(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return np.zeros_like(clean)


def _dropout(clean: Float64, before: Before, rng: np.random.Generator) -> Float64:
    return np.full_like(clean, np.nan)


KINDS: dict[str, tuple[Shape, int]] = {
    "spike": (_spike, 2),
    "dip": (_dip, 2),
    "level_shift": (_level_shift, 60),
    "drift": (_drift, 60),
    "variance_burst": (_variance_burst, 30),
    "flat_line": (_flat_line, 60),
    "drop_to_zero": (_drop_to_zero, 20),
    "dropout": (_dropout, 30),
}
"""Kind -> (shape, default length in steps)."""

HISTORY = 500
"""Steps before the fault that determine its size."""


def inject(values_T: Float64, kind: str, start: int, rng: np.random.Generator, length: int | None = None) -> Fault:
    """Change `values_T` in place from `start` on; the fault ends early if the stream does.

    >>> values = np.ones(10)
    >>> inject(values, "drop_to_zero", 7, np.random.default_rng(0), length=2)
    Fault(kind='drop_to_zero', start=7, end=9)
    >>> values.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0]
    """
    shape, usual = KINDS[kind]
    if not 1 <= start < len(values_T):
        raise ValueError(f"a fault cannot start at step {start} of {len(values_T)}; it needs one step before it")
    end = min(start + (length or usual), len(values_T))
    values_T[start:end] = shape(values_T[start:end], _before(values_T[max(0, start - HISTORY) : start]), rng)
    return Fault(kind, start, end)


def _before(past: Float64) -> Before:
    seen = past[np.isfinite(past)]
    if not len(seen):
        return Before(0.0, 0.0, 0.0)
    steps = np.abs(np.diff(seen)) if len(seen) > 1 else np.zeros(1)
    return Before(float(seen[-1]), float(steps.mean()), float(seen.std()))
