"""How far a number is from everything a stream has shown: distance to the nearest of K remembered numbers.

A number enters `DELAY` samples after it was seen, so that an anomaly does not excuse its own next sample. The extremes
stay; when the memory is full, one of the two closest neighbours makes room, so that what is remembered spreads over
all that was seen. A number closer to the memory than its two closest neighbours are to each other would itself be the
redundant one: it is not entered, which makes most updates free. Nor is a number that is remembered already.

Shape legend: B rows of one call, K remembered numbers, D numbers on their way in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

DELAY = 5
SIZE = 64


class NoveltyMemory:
    """One remembered quantity a stream; `name` prefixes its columns."""

    def __init__(self, name: str, size: int = SIZE) -> None:
        self.size = size
        self._memory = f"{name}_memory"
        self._gap = f"{name}_gap"
        self._waiting = f"{name}_waiting"
        self._waiting_distance = f"{name}_waiting_distance"
        self._seen = f"{name}_seen"
        self.fields = (
            Field(self._memory, (size,), initial=float("inf")),
            Field(self._gap),
            Field(self._waiting, (DELAY,)),
            Field(self._waiting_distance, (DELAY,)),
            Field(self._seen, dtype="int32"),
        )

    def distance(self, state: Columns, rows: Rows, numbers_B: Float64) -> Float64:
        """[B] distance to the nearest remembered number; 0 while nothing is remembered."""
        away_BK = state[self._memory][rows]
        away_BK -= numbers_B.astype(np.float32)[:, None]
        np.abs(away_BK, out=away_BK)
        nearest_B = away_BK.min(axis=1)
        return np.where(np.isfinite(nearest_B), nearest_B, np.float32(0.0)).astype(np.float64)

    def update(self, state: Columns, rows: Rows, numbers_B: Float64, distance_B: Float64) -> None:
        """Take in the numbers of this round; `distance_B` is what `distance` said of them."""
        seen_B = state[self._seen][rows]
        place_B = seen_B % DELAY
        waiting, waiting_distance = state[self._waiting], state[self._waiting_distance]
        news_B = (waiting_distance[rows, place_B] > state[self._gap][rows]) | (seen_B < 2 * DELAY)
        ready_B = (seen_B >= DELAY) & news_B
        if ready_B.any():
            chosen = rows[ready_B]
            self._enter(state, chosen, waiting[chosen, place_B[ready_B]])
        waiting[rows, place_B] = numbers_B
        waiting_distance[rows, place_B] = distance_B
        # Once the first five are in, the place in the ring is all that matters, so the counter goes round and never
        # overflows.
        state[self._seen][rows] = np.where(seen_B >= 3 * DELAY - 1, 2 * DELAY, seen_B + 1)

    def _enter(self, state: Columns, rows: Rows, numbers_B: Float32) -> None:
        """Put numbers in their sorted place; a full memory loses one of its two closest neighbours."""
        wide_BK = np.concatenate([state[self._memory][rows], numbers_B[:, None]], axis=1)
        wide_BK.sort(axis=1)
        full_B = np.isfinite(wide_BK[:, -1])
        kept_BK = wide_BK[:, :-1]
        gaps = np.zeros(len(rows), dtype=np.float32)
        if full_B.any():
            kept_BK[full_B], gaps[full_B] = _without_most_redundant(wide_BK[full_B])
        state[self._memory][rows] = kept_BK
        state[self._gap][rows] = gaps


def _without_most_redundant(sorted_BK: Float32) -> tuple[Float32, Float32]:
    """Drop one inner number of the closest pair of each row; ([B, K - 1] the rest, [B] its smallest gap)."""
    count, width = sorted_BK.shape
    gaps_BK = np.diff(sorted_BK, axis=1)
    first_B = gaps_BK.argmin(axis=1)
    index_B = np.arange(count)
    gap_before_B = gaps_BK[index_B, np.maximum(first_B - 1, 0)]
    gap_behind_B = gaps_BK[index_B, np.minimum(first_B + 1, width - 2)]
    drop_B = np.where(gap_before_B > gap_behind_B, first_B + 1, first_B)
    drop_B = np.clip(drop_B, 1, width - 2)
    column_K = np.arange(width - 1)
    kept_BK = np.take_along_axis(sorted_BK, column_K[None, :] + (column_K[None, :] >= drop_B[:, None]), axis=1)
    return kept_BK, np.diff(kept_BK, axis=1).min(axis=1)
