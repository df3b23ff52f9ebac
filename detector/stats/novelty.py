"""How far a number is from everything a stream has shown: its distance to the nearest of K remembered numbers.

A number enters `DELAY` samples after it was seen, so an anomaly does not excuse its own next sample. The extremes stay;
when the memory is full, one of the two closest neighbours makes room, so the remembered numbers spread over the whole
range seen. A number closer to the memory than these two neighbours are to each other would itself be the redundant one.
It is not entered, which makes most updates free.

A remembered number is *established* once the stream has come near it again a day of event time, or more, after it was
first seen (`APART` units of the stamps), whatever the sampling interval. The distance to the nearest established number
tells how far a recurring rare event is from the usual.

Shape legend: B rows of one call, K remembered numbers, D numbers on their way in.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows, put, take

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Int16 = npt.NDArray[np.int16]
Int64 = npt.NDArray[np.int64]
Stamps = TypeVar("Stamps", Int16, npt.NDArray[np.int32])
Entries = TypeVar("Entries", Float32, Int16)

DELAY = 5
SIZE = 64
WIDTHS = (8, 16, 32)
"""Places of young memories that are looked at, rather than all."""
CHUNK_NUMBERS = 1 << 16
"""Remembered numbers processed at a time, few enough to stay in the second-level cache."""
VISIT_SECONDS = 10_800.0
"""Event time in one unit of the visit stamps."""
APART = 8
"""Minimum units between the first and the establishing visit."""
ESTABLISHED = -1
STAMPS = 1 << 14
"""Stamps wrap around, every 2,048 days."""
LEAST_AWAY = np.array([np.inf, 0.0], np.float32)
"""Least distance to a number, by whether it counts."""


class Distance(NamedTuple):
    """How far numbers are from the memory; all [B], float64."""

    any: Float64
    """To the nearest remembered number; 0 while nothing is remembered."""
    established: Float64
    """To the nearest established one, at least `any`; equal to `any` while there is none."""
    is_return: Bools
    """The nearest number is not established, and was first seen long enough ago for this visit to establish it."""


class NoveltyMemory:
    """One remembered quantity per stream; `name` prefixes its columns."""

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

    def numbers(self, state: Columns, rows: Rows) -> Float64:
        """[B, K + D] numbers remembered and on their way in, ascending, padded with infinity.

        Only for rows that have seen `DELAY` numbers or more.
        """
        both_BK = np.concatenate((state[self._memory][rows], state[self._waiting][rows]), axis=1)
        return np.sort(both_BK.astype(np.float64), axis=1)

    def smallest(self, state: Columns, rows: Rows) -> Float64:
        """[B] the smallest number remembered, which is never dropped; infinite while nothing is remembered."""
        return np.asarray(state[self._memory][:, 0][rows], dtype=np.float64)

    def newest(self, state: Columns, rows: Rows) -> Float64:
        """[B] the number taken in last; 0 before the first."""
        at_B = rows * DELAY + (state[self._seen].take(rows) - 1) % DELAY
        return np.asarray(state[self._waiting].reshape(-1).take(at_B), dtype=np.float64)

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        """Distances of this round's numbers, seen at unix `times_B`; changes nothing."""
        memory, stamps = state[self._memory], state[self._stamps]
        number_B, used = numbers_B.astype(np.float32), self._used(state[self._seen].take(rows))
        behind_B = _count(take(memory[:, used], rows) < number_B[:, None])
        start_B = rows * self.size
        before_at_B = start_B + np.maximum(behind_B - 1, 0)
        behind_at_B = start_B + np.minimum(behind_B, self.size - 1)
        before_B = np.abs(memory.reshape(-1).take(before_at_B) - number_B)
        away_B = np.abs(memory.reshape(-1).take(behind_at_B) - number_B)
        any_B = np.minimum(before_B, away_B).astype(np.float64)
        empty_B = ~np.isfinite(any_B)
        any_B[empty_B] = 0.0
        stamp_B = stamps.reshape(-1).take(np.where(before_B <= away_B, before_at_B, behind_at_B))
        is_rare_B = stamp_B != ESTABLISHED
        established_B = any_B.copy()
        rare = np.flatnonzero(is_rare_B)
        if len(rare):
            established_B[rare] = self._established(state, rows[rare], number_B[rare], any_B[rare], used)
        return Distance(any_B, established_B, is_rare_B & (_age(_stamp(times_B), stamp_B) >= APART) & ~empty_B)

    def _established(self, state: Columns, rows: Rows, number_B: Float32, any_B: Float64, used: slice) -> Float64:
        """[B] distance to the nearest established number; `any_B` where there is none."""
        is_usual_BK = take(state[self._stamps][:, used], rows) == ESTABLISHED
        some = np.flatnonzero(_count(is_usual_BK))
        if not len(some):
            return any_B
        away_BK = np.abs(take(state[self._memory][:, used], rows[some]) - number_B[some, None])
        # From a table: with a mixed mask, an assignment takes four times as long.
        np.maximum(away_BK, LEAST_AWAY.take(is_usual_BK.take(some, axis=0).view(np.uint8)), out=away_BK)
        found_B = any_B.copy()
        found_B[some] = _least(away_BK)
        return found_B

    def update(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64, distance: Distance) -> None:
        """Take in the numbers of this round; `distance` is the result of the method for them."""
        seen_B = state[self._seen].take(rows)
        at_B = rows * DELAY + seen_B % DELAY
        waiting, welcome = state[self._waiting].reshape(-1), state[self._welcome].reshape(-1)
        news_B = (welcome.take(at_B) > state[self._gap].take(rows)) | (seen_B < 2 * DELAY)
        ready = np.flatnonzero((seen_B >= DELAY) & news_B)
        if len(ready):
            chosen, entering_B, stamp_B = rows[ready], waiting.take(at_B[ready]), _stamp(times_B[ready])
            used = self._used(seen_B)
            for first in range(0, len(chosen), CHUNK_NUMBERS // used.stop):
                part = slice(first, first + CHUNK_NUMBERS // used.stop)
                self._enter(state, chosen[part], entering_B[part], stamp_B[part], used)
        waiting[at_B] = numbers_B
        # A second visit enters at any distance, to establish its neighbour.
        welcome[at_B] = np.where(distance.is_return, np.inf, distance.any)
        state[self._seen][rows] = np.where(seen_B == np.iinfo(np.int32).max, seen_B - DELAY + 1, seen_B + 1)

    def _used(self, seen_B: npt.NDArray[np.int32]) -> slice:
        """Places in which a further number fits into these memories, and one is left: young ones have few numbers."""
        entered = int(seen_B.max(initial=0)) - DELAY
        return slice(0, next((places for places in WIDTHS if entered + 1 < places < self.size), self.size))

    def _enter(self, state: Columns, rows: Rows, numbers_B: Float32, stamp_B: Int16, used: slice) -> None:
        """Insert numbers in order; a memory that is full, or has the number already, drops its most redundant one."""
        memory, stamps = state[self._memory][:, used], state[self._stamps][:, used]
        memory_BK, stamps_BK = take(memory, rows), take(stamps, rows)
        if used.stop == self.size:
            memory_BK, stamps_BK = _widened(memory_BK, np.inf), _widened(stamps_BK, 0)
        upto_BK = memory_BK <= numbers_B[:, None]
        place_B = _count(upto_BK[:, used])
        has_it_B = memory_BK[np.arange(len(rows)), np.maximum(place_B, 1) - 1] == numbers_B
        memory_BK = _inserted(memory_BK, numbers_B)
        stamps_BK = _stamped(stamps_BK, upto_BK, place_B, stamp_B)
        crowded = np.flatnonzero(np.isfinite(memory_BK[:, -1]) | has_it_B)
        if len(crowded):
            _thin_out(memory_BK, stamps_BK, crowded)
        put(memory, rows, memory_BK[:, used])
        put(stamps, rows, stamps_BK[:, used])
        full = np.flatnonzero(np.isfinite(memory_BK[:, -2])) if used.stop == self.size else ()
        if len(full):
            state[self._gap][rows[full]] = _least(np.diff(memory_BK[full, :-1], axis=1))


def _count(yes_BK: Bools) -> Int64:
    """[B] how many are true."""
    width = yes_BK.shape[1]
    if width in (8, 16, 32, 64):
        count_B = np.bitwise_count(np.packbits(yes_BK.reshape(-1)).view(f"u{width // 8}"))
    else:
        count_B = np.ascontiguousarray(yes_BK.T).sum(axis=0, dtype=np.uint8)
    return np.asarray(count_B, dtype=np.int64)


def _least(numbers_BK: Float32) -> Float32:
    """[B] smallest of each row; numpy's argmin is four times faster than its min."""
    return np.asarray(numbers_BK[np.arange(len(numbers_BK)), numbers_BK.argmin(axis=1)])


def _widened(entries_BK: Entries, empty: float) -> Entries:
    """[B, K + 1] with an empty place behind."""
    return np.concatenate((entries_BK, np.full((len(entries_BK), 1), empty, entries_BK.dtype)), axis=1)


def _inserted(memory_BK: Float32, numbers_B: Float32) -> Float32:
    """Sorted memories with the new numbers; their last place must be empty.

    Rows are contiguous, so all move up by one in a single step. What crosses over from the row before lands in place 0,
    where it is overwritten.
    """
    width, flat = memory_BK.shape[1], memory_BK.reshape(-1)
    # Each place gets the median of its own number, the one before it, and the new one.
    moved = np.empty_like(flat)
    np.maximum(flat[:-1], np.repeat(numbers_B, width)[1:], out=moved[1:])
    moved[::width] = numbers_B
    np.minimum(moved, flat, out=moved)
    return moved.reshape(memory_BK.shape)


def _stamped(stamps_BK: Int16, upto_BK: Bools, place_B: Int64, stamp_B: Int16) -> Int16:
    """Stamps with the new ones at `place_B`; those before it stay where they are, as `upto_BK` says."""
    width, flat = stamps_BK.shape[1], stamps_BK.reshape(-1)
    moved = np.empty_like(flat)
    moved[0] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=moved[1:])
    moved[1:] *= upto_BK.reshape(-1)[1:]
    moved[1:] += flat[:-1]
    moved[np.arange(len(place_B)) * width + place_B] = stamp_B
    return moved.reshape(stamps_BK.shape)


def _thin_out(wide_BK: Float32, stamps_BK: Int16, crowded: Int64) -> None:
    """Drop the most redundant number of these rows, and merge its stamp with its heir's."""
    numbers_BK, kept_BK = wide_BK[crowded], stamps_BK[crowded]
    gaps_BK = _gaps(numbers_BK)
    drop_B, heir_B = most_redundant(gaps_BK)
    merge_stamps(kept_BK, np.arange(len(crowded)), drop_B, heir_B)
    moves_BK = np.arange(wide_BK.shape[1] - 1) >= drop_B[:, None]
    wide_BK[crowded, :-1] = np.where(moves_BK, numbers_BK[:, 1:], numbers_BK[:, :-1])
    stamps_BK[crowded, :-1] = np.where(moves_BK, kept_BK[:, 1:], kept_BK[:, :-1])


def _stamp(times_B: Float64) -> Int16:
    """[B] visit stamp of each moment."""
    return (np.floor(times_B / VISIT_SECONDS).astype(np.int64) & (STAMPS - 1)).astype(np.int16)


def _age(now_B: Stamps, then_B: Stamps) -> Stamps:
    """[B] units between two stamps, the second being the older one."""
    return (now_B - then_B) & (STAMPS - 1)


def _gaps(sorted_BK: Float32) -> Float32:
    """[B, K - 1] distances of neighbours; infinite beside an empty place."""
    with np.errstate(invalid="ignore"):
        gaps_BK = np.diff(sorted_BK, axis=1)
    gaps_BK[np.isnan(gaps_BK)] = np.inf
    return gaps_BK


def most_redundant(gaps_BK: Float32) -> tuple[Int64, Int64]:
    """Of the closest pair: ([B] the number whose other neighbour is nearer, [B] the one that stays).

    Extremes stay, because they have no other neighbour.
    """
    index_B = np.arange(len(gaps_BK))
    first_B = gaps_BK.argmin(axis=1)
    last = gaps_BK.shape[1] - 1
    before_B = np.where(first_B > 0, gaps_BK[index_B, np.maximum(first_B - 1, 0)], np.float32(np.inf))
    behind_B = np.where(first_B < last, gaps_BK[index_B, np.minimum(first_B + 1, last)], np.float32(np.inf))
    second_goes_B = before_B > behind_B
    return first_B + second_goes_B, first_B + ~second_goes_B


def merge_stamps(stamps_BK: Int16, rows: Int64, drop_B: Int64, heir_B: Int64) -> None:
    """Dropped numbers of `rows` leave their visits to their heirs: established, or the stamp of the first visit."""
    dropped_B = stamps_BK[rows, drop_B].astype(np.int32)
    inherited_B = stamps_BK[rows, heir_B].astype(np.int32)
    behind_B = _age(inherited_B, dropped_B)
    is_first_B = behind_B < STAMPS // 2
    apart_B = np.where(is_first_B, behind_B, STAMPS - behind_B) >= APART
    settled_B = (dropped_B == ESTABLISHED) | (inherited_B == ESTABLISHED) | apart_B
    stamps_BK[rows, heir_B] = np.where(settled_B, ESTABLISHED, np.where(is_first_B, dropped_B, inherited_B))
