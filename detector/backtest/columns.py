"""Long series reduced to columns of pixels, each of which keeps its least and greatest value.

T rows, C columns that hold a value. Coordinates are whole tenths of a pixel, which keeps a path's text short.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from detector.records import Float64, Int64

TENTHS = 10
GAP_STEPS = 5.0
"""A line breaks at a hole that is longer than this many steps and at least `GAP_PIXELS` wide."""
GAP_PIXELS = 3


@dataclass(frozen=True, slots=True)
class Columns:
    """A series in columns; every array is [C]."""

    x: Int64
    """Pixel."""
    first: Float64
    least: Float64
    greatest: Float64
    last: Float64
    mean: Float64
    breaks: npt.NDArray[np.bool_]
    """True if no line leads here from the previous column."""

    def __len__(self) -> int:
        return len(self.x)


def in_columns(times: Float64, values: Float64, start: float, end: float, pixels: int) -> Columns:
    """Reduce the finite `values` [T] at non-decreasing `times` [T], from `start` to `end`, to `pixels` columns.

    >>> found = in_columns(np.arange(6.0), np.array([1, 9, 2, 3, 0, 4.0]), 0.0, 5.0, 2)
    >>> found.least.tolist(), found.greatest.tolist()
    ([1.0, 0.0], [9.0, 4.0])
    """
    rows = np.flatnonzero(np.isfinite(values))
    times, values = times[rows], values[rows]
    x = np.clip(((times - start) / max(end - start, 1e-9) * pixels).astype(np.int64), 0, pixels - 1)
    heads = np.flatnonzero(np.append(True, x[1:] != x[:-1])) if len(x) else np.zeros(0, np.int64)
    if not len(heads):
        empty = np.zeros(0)
        return Columns(heads, empty, empty, empty, empty, empty, np.zeros(0, bool))
    tails = np.append(heads[1:], len(x)) - 1
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    hole = times[heads[1:]] - times[tails[:-1]] > GAP_STEPS * step
    wide = x[heads[1:]] - x[tails[:-1]] >= GAP_PIXELS
    return Columns(
        x[heads],
        values[heads],
        np.minimum.reduceat(values, heads),
        np.maximum.reduceat(values, heads),
        values[tails],
        np.add.reduceat(values, heads) / (tails - heads + 1),
        np.append(True, hole & wide),
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to heights, in tenths of a pixel from the top."""

    low: float
    high: float
    top: float
    bottom: float

    def __call__(self, values: Float64) -> Int64:
        share = (values - self.low) / (self.high - self.low)
        tenths = TENTHS * (self.bottom - share * (self.bottom - self.top))
        # The picture's edge cuts off values far outside; a browser need not know how far.
        return np.rint(np.clip(tenths, -1e5, 1e5)).astype(np.int64)


def line(columns: Columns, scale: Scale) -> str:
    """A path through first, least, greatest and last value of each column."""
    marks = [scale(y).tolist() for y in (columns.first, columns.least, columns.greatest, columns.last)]
    parts = []
    at_x = at_y = 0
    xs = (TENTHS * columns.x).tolist()
    for x, *heights, breaks in zip(xs, *marks, columns.breaks.tolist(), strict=True):
        parts.append(f"M{x} {heights[0]}" if breaks else f"l{x - at_x} {heights[0] - at_y}")
        steps = [f"v{b - a}" for a, b in pairwise(heights) if a != b]
        # A stroke without length shows as a dot, which keeps an isolated value visible.
        parts += steps or (["h0"] if breaks else [])
        at_x, at_y = x, heights[-1]
    return "".join(parts)


def area(lower: Columns, upper: Columns, scale: Scale) -> str:
    """The closed path between two series' means, on the columns that both have."""
    x, low_at, high_at = np.intersect1d(lower.x, upper.x, return_indices=True)
    low, high = scale(lower.mean[low_at]).tolist(), scale(upper.mean[high_at]).tolist()
    parts = []
    breaks = lower.breaks[low_at] | upper.breaks[high_at]
    breaks[:1] = True
    for begin, end in pairwise([*np.flatnonzero(breaks).tolist(), len(x)]):
        places = (TENTHS * x[begin:end]).tolist()
        edge = list(zip(places, high[begin:end], strict=True)) + list(zip(places, low[begin:end], strict=True))[::-1]
        parts.append("M" + "L".join(f"{at} {height}" for at, height in edge) + "Z")
    return "".join(parts)


def bars(columns: Columns, scale: Scale, above: float) -> str:
    """For each column whose greatest value exceeds `above`, a vertical stroke from the bottom to that value."""
    bottom = int(scale.bottom * TENTHS)
    chosen = columns.greatest > above
    pairs = zip((TENTHS * columns.x[chosen]).tolist(), scale(columns.greatest[chosen]).tolist(), strict=True)
    return "".join(f"M{x} {bottom}V{y}" for x, y in pairs)
