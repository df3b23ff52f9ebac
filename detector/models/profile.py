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
    """Where moments lie between two neighbouring nodes of each profile, and what these say now.

    All [2, P, B]: of the node at or before the moment, and of the one after it.
    """

    index: Int64
    """Flat index of the nodes."""
    share: Float32
    """How near they are: 1 where the moment is on the node; of the two together 1."""
    nodes: Float32
    visits: npt.NDArray[np.uint8]

    def usual(self) -> tuple[Float32, Bools]:
        """[P, B] each profile's value at the place, by linear interpolation, and whether it is known there.

        Where one of the two nodes was never seen (samples every five minutes leave four of five nodes out), the other
        one's value.
        """
        known = self.visits > 0
        before, after = self.nodes
        both = before + self.share[1] * (after - before)
        one = np.where(known[1], after, before)
        return np.where(known[0] & known[1], both, one), known[0] | known[1]


class Calendar:
    """The profiles that are kept of each stream: their nodes one behind the other, and how often each was visited."""

    def __init__(self, profiles: Sequence[Profile] = PROFILES) -> None:
        """Some of `PROFILES`, by name; they may have other nodes."""
        self._nodes = np.array([[profile.nodes] for profile in profiles])
        self._start = np.cumsum(self._nodes, axis=0) - self._nodes
        self._seconds = np.array([[profile.node_seconds] for profile in profiles])
        self._rate = np.array([[profile.rate] for profile in profiles])
        self._width = int(self._nodes.sum())
        following = np.arange(1, self._width + 1)
        following[self._start[1:, 0] - 1], following[-1] = self._start[:-1, 0], self._start[-1, 0]
        self._next = following
        """[width] the node after each, round each profile's end."""
        visits = np.arange(MANY_VISITS + 1)
        self._warm = np.where(visits < MANY_VISITS, 1 / (visits + 1), 0).astype(np.float32)
        """[256] least rate of a node by its visits: it averages the first ones."""
        names = [profile.name for profile in PROFILES]
        self._places = [names.index(profile.name) for profile in profiles]
        self.fields = (Field("profile_nodes", (self._width,)), Field("profile_visits", (self._width,), "uint8"))

    def place(self, state: Columns, rows: Rows, times_B: Float64) -> Place:
        """The nodes around each moment."""
        passed = times_B / self._seconds
        phase = passed - np.floor(passed / self._nodes) * self._nodes
        np.maximum(phase, 0.0, out=phase)
        index = np.empty((2, *phase.shape), np.int64)
        # Rounding can put a moment just before midnight on the node that does not exist.
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
        """Move the two nodes around each sample by their shares of its error; `at` is where it lies, as it is now.

        A node never seen takes the value of the first sample nearest to it, its next ones are averaged; later a pass
        over the period moves it by the profile's rate, whatever the number of samples in that pass. Only the nodes
        around a sample are touched, whatever the period.
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
        """[len(PROFILES), B] with zeros for the profiles that are not kept."""
        if len(self._places) == len(PROFILES):
            return kept_PB
        every = np.zeros((len(PROFILES), kept_PB.shape[1]), kept_PB.dtype)
        every[self._places] = kept_PB
        return every
