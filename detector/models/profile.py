"""Calendar profiles: a stream's usual value at an hour of the day or of the week.

Shape legend: B rows of one call. Values are float32 relative to the stream's origin, times unix seconds (UTC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

HOUR = 3600.0
MANY_VISITS = 255
"""Largest count that a uint8 holds; a node visited that often has left its warm-up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where moments lie between two neighbouring nodes of a profile."""

    before_B: Int64
    """Flat index of the node at or before the moment."""
    after_B: Int64
    share_B: Float32
    """0 at the node before, towards 1 at the node after."""


class CalendarProfile:
    """Nodes at every full hour of a period, linearly interpolated, learnt by normalised gradient steps.

    `rate` is the share of an hour's error that its nodes take over on each pass of the period. A node's first samples
    are averaged. The nodes are touched only where a sample lies: the cost does not depend on the period's length.
    """

    def __init__(self, name: str, hours: int, rate: float) -> None:
        self.hours = hours
        self.rate = rate
        self._nodes = f"{name}_profile"
        self._visits = f"{name}_visits"
        self.fields = (Field(self._nodes, (hours,)), Field(self._visits, (hours,), "uint8"))

    def place(self, rows: Rows, times_B: Float64) -> Place:
        """The nodes around each moment."""
        phase = np.mod(times_B * (1.0 / HOUR), float(self.hours))
        before = np.minimum(phase.astype(np.int64), self.hours - 1)
        after = before + 1
        after[after == self.hours] = 0
        base = rows * self.hours
        return Place(base + before, base + after, (phase - before).astype(np.float32))

    def value(self, state: Columns, at: Place) -> tuple[Float32, npt.NDArray[np.bool_]]:
        """Profile at a place, and whether it is known there."""
        nodes = state[self._nodes].reshape(-1)
        visits = state[self._visits].reshape(-1)
        before = nodes.take(at.before_B)
        slope = nodes.take(at.after_B) - before
        share = at.share_B * (visits.take(at.after_B) > 0)
        return before + share * slope, visits.take(at.before_B) > 0

    def learn(self, state: Columns, at: Place, value_B: Float32, interval_B: Float64) -> None:
        """Move the two nodes around each sample towards it."""
        expected, _ = self.value(state, at)
        error = value_B - expected
        slow = (self.rate * np.minimum(interval_B * (1.0 / HOUR), 1.0)).astype(np.float32)
        self._move(state, at.before_B, (1.0 - at.share_B) * error, value_B, slow)
        self._move(state, at.after_B, at.share_B * error, value_B, slow)

    def _move(self, state: Columns, index: Int64, error_B: Float32, value_B: Float32, slow_B: Float32) -> None:
        nodes = state[self._nodes].reshape(-1)
        visits = state[self._visits].reshape(-1)
        seen = visits.take(index)
        warm = 1.0 / (seen.astype(np.float32) + 1.0)
        rate = np.where(seen == MANY_VISITS, slow_B, np.maximum(slow_B, warm))
        nodes[index] = np.where(seen == 0, value_B, nodes.take(index) + rate * error_B)
        visits[index] = seen + (seen < MANY_VISITS)
