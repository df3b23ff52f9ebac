"""A fleet: the metrics of many instances on one clock, some with labelled faults. For `produce` and `demo`.

Shape legend: S streams, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from detector.series import SeriesKey
from detector.synthetic.faults import KINDS, Fault, inject
from detector.synthetic.parts import Float64, Grid
from detector.synthetic.services import SERVICES

USUAL_KINDS = ("spike", "level_shift", "flat_line", "variance_burst", "drop_to_zero")

_LOOK_BACK = 100
"""Steps before a fault that decide whether it would be visible in a stream."""
_MISSING = 0.01
"""Share of samples missing from a stream with gaps."""


@dataclass(frozen=True, slots=True)
class FleetFault:
    """A fault of one stream, with its first and last faulty sample."""

    stream: int
    kind: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Streams, their names, and their ground truth."""

    times_T: Float64
    values_ST: Float64
    """NaN where a sample is missing."""
    names: tuple[str, ...]
    """[S] metric name of each stream."""
    labels: tuple[dict[str, str], ...]
    """[S]"""
    faults: tuple[FleetFault, ...]

    def key(self, stream: int) -> SeriesKey:
        """Identity of a stream as the daemon sees it."""
        return SeriesKey.of(self.names[stream], self.labels[stream])


def fleet(
    seed: int,
    count: int,
    steps: int,
    step_seconds: float,
    *,
    start: float,
    faults: Sequence[int] = (),
    kinds: Sequence[str] = USUAL_KINDS,
    gaps: float = 0.0,
) -> Fleet:
    """Draw `count` streams; the same arguments give the same fleet.

    `faults` are the steps at which faults begin, each in a different stream, chosen among those where it would be
    visible: a constant stream cannot freeze, and one that is always zero cannot drop to zero. Kinds take turns. `gaps`
    is the share of streams that miss a hundredth of their samples.

    >>> drawn = fleet(1, 20, 300, 60.0, start=0.0, faults=[200], kinds=["level_shift"])
    >>> [(fault.kind, fault.first) for fault in drawn.faults]
    [('level_shift', 200)]
    """
    unknown = sorted(set(kinds) - KINDS.keys())
    if unknown or not kinds:
        raise ValueError(f"kinds of fault are {', '.join(KINDS)}; not {', '.join(unknown) or 'none at all'}")
    if len(faults) > count:
        raise ValueError(f"{len(faults)} faults need as many streams, not {count}")
    times_T: Float64 = start + step_seconds * np.arange(steps, dtype=np.float64)
    metrics = tuple(SERVICES)
    values_ST: Float64 = np.empty((count, steps))
    for index, metric in enumerate(metrics):
        rows = np.arange(index, count, len(metrics))
        if len(rows):
            grid = Grid(np.random.default_rng([seed, 0, index]), len(rows), times_T, step_seconds, events=False)
            values_ST[rows] = SERVICES[metric](grid)
    rng = np.random.default_rng([seed, 1])
    free = rng.permutation(count).tolist()
    placed = []
    for first, kind in zip(faults, cycle(kinds), strict=False):
        past = slice(max(0, first - _LOOK_BACK), first)
        stream = next((each for each in free if _can_suffer(kind, values_ST[each, past])), free[0])
        free.remove(stream)
        done: Fault = inject(values_ST[stream], kind, first, rng)
        faulty_T = values_ST[stream, done.start : done.end]
        faulty_T.clip(0.0, 1.0 if metrics[stream % len(metrics)].endswith("_ratio") else np.inf, out=faulty_T)
        placed.append(FleetFault(stream, kind, done.start, done.end - 1))
    if gaps:
        missing = rng.random((count, 1)) < gaps
        values_ST[missing & (rng.random(values_ST.shape) < _MISSING)] = np.nan
    return Fleet(
        times_T,
        values_ST,
        tuple(metrics[stream % len(metrics)] for stream in range(count)),
        tuple({"service": "shop", "instance": f"shop-{stream // len(metrics):05d}"} for stream in range(count)),
        tuple(placed),
    )


def _can_suffer(kind: str, past_T: Float64) -> bool:
    seen = past_T[np.isfinite(past_T)]
    if len(seen) < 2:
        return False
    moving = float((np.diff(seen) != 0).mean())
    if kind == "flat_line":
        return moving > 0.9
    if kind == "drop_to_zero":
        return float(seen.min()) > 4 * float(seen.std())
    return moving > 0.5
