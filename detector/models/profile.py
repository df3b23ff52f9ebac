"""Calendar profiles: a stream's usual value at a minute of the hour, a quarter of the day's hours, two of the week's.

Shape legend: P profiles, B rows of one call. Values are float32 relative to the stream's origin, times unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MANY_VISITS = 255
"""Largest count that a uint8 holds; a node visited that often has left its warm-up."""
NEAREST = 0.5
"""Share from which on a sample counts as a visit to the node."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One period, cut into nodes evenly."""

    name: str
    nodes: int
    node_seconds: float
    rate: float
    """Share of an error that the nodes around it take over on each pass of the period."""


PROFILES = (
    Profile("hour_profile", 60, 60.0, 0.2),
    Profile("day_profile", 96, 900.0, 0.3),
    Profile("week_profile", 84, 7200.0, 0.5),
)

COMPACT = (Profile("day_profile", 24, 3600.0, 0.3),)
"""What streams of the compact profile keep."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where moments lie between two neighbouring nodes of each profile."""

    before_PB: Int64
    """Flat index of the node at or before the moment."""
    after_PB: Int64
    share_PB: Float32
    """0 at the node before, towards 1 at the node after."""


class Calendar:
    """The profiles that are kept of each stream: their nodes one behind the other, and how often each was visited."""

    def __init__(self, profiles: Sequence[Profile] = PROFILES) -> None:
        """Some of `PROFILES`, by name; they may have other nodes."""
        self._nodes = np.array([[profile.nodes] for profile in profiles])
        self._start = np.cumsum(self._nodes, axis=0) - self._nodes
        self._seconds = np.array([[profile.node_seconds] for profile in profiles])
        self._rate = np.array([[profile.rate] for profile in profiles])
        self._width = int(self._nodes.sum())
        names = [profile.name for profile in PROFILES]
        self._places = [names.index(profile.name) for profile in profiles]
        self.fields = (Field("profile_nodes", (self._width,)), Field("profile_visits", (self._width,), "uint8"))

    def place(self, rows: Rows, times_B: Float64) -> Place:
        """The nodes around each moment."""
        passed = times_B / self._seconds
        phase = np.maximum(passed - np.floor(passed / self._nodes) * self._nodes, 0.0)
        # Rounding can put a moment just before midnight on the node that does not exist.
        before = np.minimum(phase.astype(np.int64), self._nodes - 1)
        after = np.where(before + 1 == self._nodes, 0, before + 1)
        base = rows * self._width + self._start
        return Place(base + before, base + after, (phase - before).astype(np.float32))

    def usual(self, state: Columns, at: Place) -> tuple[Float32, Bools]:
        """[P, B] each profile's value at a place, by linear interpolation, and whether it is known there.

        Where one of the two nodes was never seen (samples every five minutes leave four of five nodes out), the other
        one's value.
        """
        nodes = state["profile_nodes"].reshape(-1)
        visits = state["profile_visits"].reshape(-1)
        before, after = nodes.take(at.before_PB), nodes.take(at.after_PB)
        known_before, known_after = visits.take(at.before_PB) > 0, visits.take(at.after_PB) > 0
        both = before + at.share_PB * (after - before)
        one = np.where(known_after, after, before)
        return np.where(known_before & known_after, both, one), known_before | known_after

    def learn(self, state: Columns, at: Place, value_B: Float32, error_PB: Float32, interval_B: Float64) -> None:
        """Move the two nodes around each sample by their shares of its error.

        A node never seen takes the value of the first sample nearest to it, its next ones are averaged; later a pass
        over the period moves it by the profile's rate, whatever the number of samples in that pass. Only the nodes
        around a sample are touched, whatever the period.
        """
        slow = (self._rate * np.minimum(interval_B / self._seconds, 1.0)).astype(np.float32)
        _move(state, at.before_PB, 1 - at.share_PB, value_B, error_PB, slow)
        _move(state, at.after_PB, at.share_PB, value_B, error_PB, slow)

    def spread(self, kept_PB: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[len(PROFILES), B] with zeros for the profiles that are not kept."""
        if len(self._places) == len(PROFILES):
            return kept_PB
        every = np.zeros((len(PROFILES), kept_PB.shape[1]), kept_PB.dtype)
        every[self._places] = kept_PB
        return every


def _move(
    state: Columns, index_PB: Int64, share_PB: Float32, value_B: Float32, error_PB: Float32, slow_PB: Float32
) -> None:
    nodes = state["profile_nodes"].reshape(-1)
    visits = state["profile_visits"].reshape(-1)
    seen = visits.take(index_PB)
    nearest = share_PB >= NEAREST
    warm = np.float32(1) / (seen + np.float32(1))
    rate = np.where(seen == MANY_VISITS, slow_PB, np.maximum(slow_PB, warm))
    moved = nodes.take(index_PB) + rate * share_PB * error_PB
    nodes[index_PB] = np.where(seen > 0, moved, np.where(nearest, value_B, np.float32(0)))
    visits[index_PB] = seen + (nearest & (seen < MANY_VISITS))
