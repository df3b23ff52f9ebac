"""How far a number is from all that a stream has shown: distance to the nearest of K remembered numbers.

A number enters `DELAY` samples after it was seen, so that an anomaly does not excuse its own next sample. The extremes
stay; when the memory is full, one of the two closest neighbours makes room, so that what is remembered spreads over all
that was seen. A number closer to the memory than its two closest neighbours are to each other would itself be the
redundant one and is not entered, which makes most updates free.

Seen once is not seen often: a remembered number is *established* when the stream came near it again a day of event
time, or more, after it was first met (`APART` units of the stamps), whatever the sampling interval. The distance to the
nearest established number says how far a recurrence of a rare event is from the usual.

Shape legend: B rows of one call, K remembered numbers, D numbers on their way in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Int16 = npt.NDArray[np.int16]

DELAY = 5
SIZE = 64
VISIT_SECONDS = 10_800.0
"""Event time in one unit of the visit stamps."""
APART = 8
"""Units between the first and the establishing visit."""
ESTABLISHED = -1
STAMPS = 1 << 14
"""Stamps go round, 2,048 days apart."""


class Distance(NamedTuple):
    """How far numbers are from the memory; all [B], float64."""

    any: Float64
    """To the nearest remembered number; 0 while nothing is remembered."""
    established: Float64
    """To the nearest established one, at least `any`; the same as `any` while there is none."""
    is_return: Bools
    """The nearest is not established, and was first met long enough ago for this visit to establish it."""


class NoveltyMemory:
    """One remembered quantity a stream; `name` prefixes its columns."""

    def __init__(self, name: str, size: int = SIZE) -> None:
        self.size = size
        self._memory = f"{name}_memory"
        self._stamps = f"{name}_stamps"
        self._gap = f"{name}_gap"
        self._waiting = f"{name}_waiting"
        self._welcome = f"{name}_welcome"
        self._seen = f"{name}_seen"
        self.fields: tuple[Field, ...] = (
            Field(self._memory, (size,), initial=float("inf")),
            Field(self._stamps, (size,), dtype="int16"),
            Field(self._gap),
            Field(self._waiting, (DELAY,)),
            Field(self._welcome, (DELAY,)),
            Field(self._seen, dtype="int32"),
        )

    def seen(self, state: Columns, rows: Rows) -> Float64:
        """[B] numbers taken in so far."""
        return np.asarray(state[self._seen][rows], dtype=np.float64)

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        """Distances of the numbers of this round, seen at unix `times_B`; changes nothing."""
        away_BK = state[self._memory].take(rows, axis=0)
        away_BK -= numbers_B.astype(np.float32)[:, None]
        np.abs(away_BK, out=away_BK)
        nearest_B = away_BK.argmin(axis=1)
        any_B = away_BK[np.arange(len(rows)), nearest_B].astype(np.float64)
        empty_B = ~np.isfinite(any_B)
        any_B[empty_B] = 0.0
        stamp_B = state[self._stamps][rows, nearest_B]
        established_B = any_B.copy()
        rare = np.flatnonzero(stamp_B != ESTABLISHED)
        if len(rare):
            rare_BK = np.where(state[self._stamps].take(rows[rare], axis=0) == ESTABLISHED, away_BK[rare], np.inf)
            usual_B = rare_BK.min(axis=1)
            established_B[rare] = np.where(np.isfinite(usual_B), usual_B, any_B[rare])
        age_B = np.abs(stamp_B - _stamp(times_B))
        return Distance(any_B, established_B, (stamp_B != ESTABLISHED) & (age_B >= APART) & ~empty_B)

    def update(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64, distance: Distance) -> None:
        """Take in the numbers of this round; `distance` is what `distance` said of them."""
        seen_B = state[self._seen][rows]
        place_B = seen_B % DELAY
        waiting, welcome = state[self._waiting], state[self._welcome]
        news_B = (welcome[rows, place_B] > state[self._gap][rows]) | (seen_B < 2 * DELAY)
        ready_B = (seen_B >= DELAY) & news_B
        if ready_B.any():
            chosen = rows[ready_B]
            self._enter(state, chosen, waiting[chosen, place_B[ready_B]], _stamp(times_B[ready_B]))
        waiting[rows, place_B] = numbers_B
        # A second visit enters whatever its distance, to establish its neighbour.
        welcome[rows, place_B] = np.where(distance.is_return, np.float32(np.inf), distance.any)
        state[self._seen][rows] = np.where(seen_B == np.iinfo(np.int32).max, 2 * DELAY, seen_B + 1)

    def _enter(self, state: Columns, rows: Rows, numbers_B: Float32, stamp_B: Int16) -> None:
        """Put numbers in their sorted place; a full memory, or one that has the number, loses the most redundant."""
        wide_BK = np.concatenate([state[self._memory][rows], numbers_B[:, None]], axis=1)
        stamps_BK = np.concatenate([state[self._stamps][rows], stamp_B[:, None]], axis=1)
        order_BK = wide_BK.argsort(axis=1, kind="stable")
        wide_BK = np.take_along_axis(wide_BK, order_BK, axis=1)
        stamps_BK = np.take_along_axis(stamps_BK, order_BK, axis=1)
        gaps_BK = _gaps(wide_BK)
        crowded_B = np.isfinite(wide_BK[:, -1]) | (gaps_BK.min(axis=1) == 0.0)
        drop_B, heir_B = _most_redundant(gaps_BK)
        _merge_stamps(stamps_BK, np.flatnonzero(crowded_B), drop_B, heir_B)
        drop_B[~crowded_B] = self.size
        column_K = np.arange(self.size)
        kept_BK = column_K + (column_K >= drop_B[:, None])
        memory_BK = np.take_along_axis(wide_BK, kept_BK, axis=1)
        full_B = np.isfinite(memory_BK[:, -1])
        state[self._memory][rows] = memory_BK
        state[self._stamps][rows] = np.take_along_axis(stamps_BK, kept_BK, axis=1)
        state[self._gap][rows] = np.where(full_B, _gaps(memory_BK).min(axis=1), np.float32(0.0))


def _stamp(times_B: Float64) -> Int16:
    """[B] visit stamp of each moment."""
    return (times_B // VISIT_SECONDS % STAMPS).astype(np.int16)


def _gaps(sorted_BK: Float32) -> Float32:
    """[B, K - 1] distances of neighbours; infinite beside an empty place."""
    with np.errstate(invalid="ignore"):
        gaps_BK = np.diff(sorted_BK, axis=1)
    gaps_BK[np.isnan(gaps_BK)] = np.inf
    return gaps_BK


def _most_redundant(gaps_BK: Float32) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of the closest pair ([B] the number with the nearer other neighbour, [B] the one that stays).

    An extreme stays: beyond it there is no neighbour.
    """
    index_B = np.arange(len(gaps_BK))
    first_B = gaps_BK.argmin(axis=1)
    last = gaps_BK.shape[1] - 1
    before_B = np.where(first_B > 0, gaps_BK[index_B, np.maximum(first_B - 1, 0)], np.float32(np.inf))
    behind_B = np.where(first_B < last, gaps_BK[index_B, np.minimum(first_B + 1, last)], np.float32(np.inf))
    second_goes_B = before_B > behind_B
    return first_B + second_goes_B, first_B + ~second_goes_B


def _merge_stamps(
    stamps_BK: Int16, chosen: npt.NDArray[np.int64], drop_B: npt.NDArray[np.int64], heir_B: npt.NDArray[np.int64]
) -> None:
    """What is dropped leaves its visits to its heir: established, or the stamp of the first visit."""
    dropped_B = stamps_BK[chosen, drop_B[chosen]].astype(np.int32)
    inherited_B = stamps_BK[chosen, heir_B[chosen]].astype(np.int32)
    apart_B = np.abs(dropped_B - inherited_B) >= APART
    settled_B = (dropped_B == ESTABLISHED) | (inherited_B == ESTABLISHED) | apart_B
    stamps_BK[chosen, heir_B[chosen]] = np.where(settled_B, ESTABLISHED, np.minimum(dropped_B, inherited_B))
