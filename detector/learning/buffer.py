"""The network's recent inputs: the newest samples of a random selection of streams.

Whether a stream is selected depends on its row alone: the rows with the lowest hashes are remembered, so the selection
represents the whole fleet however it grew.

Shape legend: B rows of one call, R rows of the table, S slots, T samples of a slot, W numbers of a sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Rows
from detector.models.features import FEATURES, features
from detector.models.naive import Slot, unpack

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

WIDTH = FEATURES + 2
"""The network's inputs, then the last value (relative to the stream's first one), then the unit s."""
LAST, UNIT = FEATURES, FEATURES + 1
NONE = -1


class Buffer:
    """A ring of samples for each of a bounded number of streams; takes at most `nbytes`."""

    def __init__(self, streams: int, samples: int) -> None:
        self.ring_STW: Float32 = np.zeros((streams, samples, WIDTH), np.float32)
        self.row_S: Int64 = np.full(streams, NONE)
        """Row whose samples a slot holds; NONE for a free slot."""
        self.taken_S: Int64 = np.zeros(streams, np.int64)
        """Samples that a slot has taken from its stream."""
        self.fresh_S: Int64 = np.zeros(streams, np.int64)
        """Samples taken since the last `mark`."""
        self._slot_R: Int64 = np.empty(0, np.int64)

    @property
    def streams(self) -> int:
        """Number of slots."""
        return len(self.ring_STW)

    @property
    def samples(self) -> int:
        """Most samples that a slot holds."""
        return int(self.ring_STW.shape[1])

    @property
    def nbytes(self) -> int:
        """Memory of the samples in bytes."""
        return self.ring_STW.nbytes

    @property
    def length_S(self) -> Int64:
        """Samples that each slot holds."""
        return np.minimum(self.taken_S, self.samples)

    def ready(self, fresh: int) -> Int64:
        """Slots that are at least half full and have taken at least `fresh` samples since the last `mark`."""
        ready_S = (self.row_S != NONE) & (self.fresh_S >= fresh) & (self.length_S >= self.samples // 2)
        return np.flatnonzero(ready_S)

    def choose(self, rows: Rows) -> None:
        """Remember as many of the streams in `rows` as there is room for, and no others."""
        lowest = rows
        if len(rows) > self.streams:
            lowest = np.sort(rows[np.argpartition(_hash(rows), self.streams)[: self.streams]])
        self.forget(np.setdiff1d(self.row_S[self.row_S != NONE], lowest))
        fresh = lowest[~np.isin(lowest, self.row_S)]
        slots = np.flatnonzero(self.row_S == NONE)[: len(fresh)]
        self.row_S[slots] = fresh
        self._reach(int(rows.max(initial=NONE)) + 1)
        self._slot_R[fresh] = slots

    def forget(self, rows: Rows) -> None:
        """Discard what is remembered of these streams, and free their slots."""
        slots = self._slot_R[rows[rows < len(self._slot_R)]]
        slots = slots[slots != NONE]
        self._slot_R[self.row_S[slots]] = NONE
        self.row_S[slots] = NONE
        self.taken_S[slots] = self.fresh_S[slots] = 0

    def take(self, state: Columns, rows: Rows) -> None:
        """Remember the network's next inputs for the chosen streams among `rows`, which have just learned a sample."""
        self._reach(len(state["bank"]))
        slots_B = self._slot_R.take(rows)
        here = np.flatnonzero(slots_B != NONE)
        if not len(here):
            return
        slots = slots_B[here]
        bank = unpack(state, rows[here])
        inputs_FB, unit_B = features(bank)
        # A forgotten stream's row may belong to another one by now.
        self.taken_S[slots[bank[Slot.AGE] <= 1]] = 0
        at = self.taken_S[slots] % self.samples
        self.ring_STW[slots, at] = np.concatenate((inputs_FB, bank[Slot.LAST][None], unit_B[None])).T
        self.taken_S[slots] += 1
        self.fresh_S[slots] += 1

    def mark(self, slots: Int64) -> None:
        """Count `fresh_S` of these slots from here on."""
        self.fresh_S[slots] = 0

    def stretch(self, slot: int) -> Float32:
        """[T, W] copy of a slot's samples, oldest first; T is their number."""
        length, taken = int(self.length_S[slot]), int(self.taken_S[slot])
        return np.ascontiguousarray(self.ring_STW[slot, np.arange(taken - length, taken) % self.samples])

    def _reach(self, rows: int) -> None:
        more = rows - len(self._slot_R)
        if more > 0:
            self._slot_R = np.concatenate((self._slot_R, np.full(more, NONE)))


def _hash(rows: Rows) -> npt.NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
