"""Calendar profiles: a stream's usual value by minute of the hour, quarter-hour of the day, two hours of the week.

Values are float32 relative to the stream's origin; times are unix seconds.

Shape legend: P profiles, B rows of one call.
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
"""Largest count that a uint8 holds; a node visited this often is past its warm-up."""
NEAREST = 0.5
"""Least share at which a sample counts as a visit to the node."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One period, with evenly spaced nodes."""

    name: str
    nodes: int
    node_seconds: float
    rate: float
    """Share of an error that the nodes around it adopt per pass over the period."""


PROFILES = (
    Profile("hour_profile", 60, 60.0, 0.2),
    Profile("day_profile", 96, 900.0, 0.3),
    Profile("week_profile", 84, 7200.0, 0.5),
)

COMPACT = (Profile("day_profile", 24, 3600.0, 0.3),)
"""Calendar profiles that streams of the compact profile keep."""


@dataclass(frozen=True, slots=True)
class Place:
    """The two nodes of each profile around some times, and their current state.

    All [2, P, B]: for the node at or before the time, and for the one after it.
    """

    index: Int64
    """Flat index of the node."""
    share: Float32
    """Closeness: 1 if the time is exactly at the node; the two shares add up to 1."""
    nodes: Float32
    visits: npt.NDArray[np.uint8]

    def usual(self) -> tuple[Float32, Bools]:
        """[P, B] each profile's value at the place, by linear interpolation, and whether it is known there.

        If one of the two nodes was never visited (samples every five minutes skip four of five nodes), the value is the
        other one's.
        """
        known = self.visits > 0
        before, after = self.nodes
        both = before + self.share[1] * (after - before)
        one = np.where(known[1], after, before)
        return np.where(known[0] & known[1], both, one), known[0] | known[1]


class Calendar:
    """The profiles kept for each stream: their nodes, profile after profile, and how often each was visited."""

    def __init__(self, profiles: Sequence[Profile] = PROFILES) -> None:
        """`profiles` are some of `PROFILES` by name, but may have other nodes."""
        self._nodes = np.array([[profile.nodes] for profile in profiles])
        self._start = np.cumsum(self._nodes, axis=0) - self._nodes
        self._seconds = np.array([[profile.node_seconds] for profile in profiles])
        self._rate = np.array([[profile.rate] for profile in profiles])
        self._width = int(self._nodes.sum())
        following = np.arange(1, self._width + 1)
        following[self._start[1:, 0] - 1], following[-1] = self._start[:-1, 0], self._start[-1, 0]
        self._next = following
        """[width] the node after each one, wrapping around at the end of each profile."""
        visits = np.arange(MANY_VISITS + 1)
        self._warm = np.where(visits < MANY_VISITS, 1 / (visits + 1), 0).astype(np.float32)
        """[256] least rate of a node by its visits, which makes it average the first ones."""
        names = [profile.name for profile in PROFILES]
        self._places = [names.index(profile.name) for profile in profiles]
        self.fields = (Field("profile_nodes", (self._width,)), Field("profile_visits", (self._width,), "uint8"))

    def place(self, state: Columns, rows: Rows, times_B: Float64) -> Place:
        """The nodes around each time."""
        passed = times_B / self._seconds
        phase = passed - np.floor(passed / self._nodes) * self._nodes
        np.maximum(phase, 0.0, out=phase)
        index = np.empty((2, *phase.shape), np.int64)
        # Rounding can put a time just before the end of a period at a node that does not exist.
        before = np.minimum(phase.astype(np.int64), self._nodes - 1)
        phase -= before
        before += self._start
        index[0], index[1] = before, self._next.take(before)
        index += rows * self._width
        share = np.empty(index.shape, np.float32)
        share[1] = phase
        np.subtract(1, share[1], out=share[0])
        nodes, visits = state["profile_nodes"].reshape(-1), state["profile_visits"].reshape(-1)
        return Place(index, share, nodes.take(index), visits.take(index))

    def learn(self, state: Columns, at: Place, value_B: Float32, error_PB: Float32, interval_B: Float64) -> None:
        """Move the two nodes around each sample by their shares of its error; `at` is its current place.

        A node never visited takes the value of the first sample nearest to it and averages the next ones. Later, a pass
        over the period moves it by the profile's rate, however many samples the pass has. Only the nodes around a
        sample change, whatever the period.
        """
        slow = (self._rate * np.minimum(interval_B / self._seconds, 1.0)).astype(np.float32)
        nearest = at.share >= NEAREST
        moved = np.maximum(slow, self._warm.take(at.visits))
        moved *= at.share
        moved *= error_PB
        moved += at.nodes
        new = at.visits == 0
        if new.any():
            moved = np.where(new, np.where(nearest, value_B, np.float32(0)), moved)
        state["profile_nodes"].reshape(-1)[at.index] = moved
        nearest &= at.visits < MANY_VISITS
        state["profile_visits"].reshape(-1)[at.index] = at.visits + nearest

    def spread(self, kept_PB: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """[len(PROFILES), B], with zeros for profiles that are not kept."""
        if len(self._places) == len(PROFILES):
            return kept_PB
        every = np.zeros((len(PROFILES), kept_PB.shape[1]), kept_PB.dtype)
        every[self._places] = kept_PB
        return every
