"""The life of a stream's alert: none -> pending -> firing -> resolved, for all streams of a round at once.

A stream has at most one open alert. It is pending from the first anomalous sample and fires when M of the last N
samples are anomalous. It resolves after a run of normal samples, once the stream has left the level that alarmed, or
when it has fired for so long that this level is the new normal. Shape legend: B rows of a round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Field, Rows, reset
from detector.records import AlertStatus, Float64, Uint8

Bool = npt.NDArray[np.bool_]
UsualChange = Callable[[Columns, Rows, Float64, Float64], Float64]
"""(state, rows, since, now) -> [B] how much values usually rise between the two times."""


def unchanging(state: Columns, rows: Rows, since: Float64, now: Float64) -> Float64:
    """The `UsualChange` of streams without a daily habit."""
    return np.zeros(len(rows))


@dataclass(frozen=True, slots=True)
class Observation:
    """What the lifecycle sees of a round; every array is [B]."""

    times: Float64
    values: Float64
    expected: Float64
    lower: Float64
    upper: Float64
    scores: Float64
    offsets: npt.NDArray[np.int64]


class Lifecycle:
    """Alert state as columns, which only `decide` writes."""

    fields = (
        Field("alert.status", dtype="uint8", initial=AlertStatus.NONE),
        Field("alert.history", dtype="uint32"),
        Field("alert.normal", dtype="uint8"),
        Field("alert.starts_at", dtype="float64", initial=np.nan),
        Field("alert.ended_at", dtype="float64", initial=-np.inf),
        Field("alert.worst", shape=(6,), dtype="float64"),  # time, value, expected, lower, upper, score
        Field("alert.worst_offset", dtype="int64", initial=-1),
        Field("alert.usual", dtype="float64", initial=np.nan),  # expected when it began; NaN: within its band
    )

    def __init__(
        self,
        *,
        anomalous: int,
        of: int,
        recovery_normal: int,
        recovery_below: float,
        max_firing_seconds: float,
        cooldown_seconds: float,
        usual_change: UsualChange = unchanging,
    ) -> None:
        self.anomalous = anomalous
        self.history_mask = np.uint32((1 << of) - 1)
        self.recovery_normal = recovery_normal
        self.recovery_below = recovery_below
        self.max_firing_seconds = max_firing_seconds
        self.cooldown_seconds = cooldown_seconds
        self.usual_change = usual_change

    def decide(self, state: Columns, rows: Rows, seen: Observation) -> Uint8:
        """[B] status after this sample. RESOLVED marks the sample that resolves; the stored status is then NONE."""
        before = state["alert.status"][rows]
        anomalous = seen.scores > 1.0
        was_open = before != AlertStatus.NONE
        interesting = anomalous | was_open | (state["alert.history"][rows] != 0)
        if not interesting.any():
            return before
        status = before.copy()
        some = np.flatnonzero(interesting)
        status[some] = self._advance(state, rows[some], _take(seen, some), anomalous[some], before[some])
        return status

    def forget(self, state: Columns, rows: Rows) -> None:
        """Reset these rows, as if they had never had an alert."""
        reset(self.fields, state, rows)

    def _advance(self, state: Columns, rows: Rows, seen: Observation, anomalous: Bool, before: Uint8) -> Uint8:
        accepted = (before == AlertStatus.NONE) & self._is_accepted(state, rows, seen)
        cool = seen.times < state["alert.ended_at"][rows] + self.cooldown_seconds
        anomalous = anomalous & ~accepted & ~cool
        history = ((state["alert.history"][rows] << np.uint32(1)) | anomalous.astype(np.uint32)) & self.history_mask
        normal = np.where(seen.scores < self.recovery_below, np.minimum(state["alert.normal"][rows], 254) + 1, 0)
        firing = before == AlertStatus.FIRING
        triggers = ~firing & (np.bitwise_count(history) >= self.anomalous)
        begins = (before == AlertStatus.NONE) | (~firing & (history == 1))  # older samples no longer count
        starts_at = np.where(begins | triggers, seen.times, state["alert.starts_at"][rows])
        too_long = seen.times - starts_at > self.max_firing_seconds
        lasts = self._lasts(state, rows, seen, firing)
        recovered = (normal >= self.recovery_normal) & ~lasts
        resolves = firing & (recovered | too_long)
        lapses = ~firing & (history == 0)

        status = before.copy()
        status[~firing] = AlertStatus.PENDING
        status[lapses] = AlertStatus.NONE
        status[triggers] = AlertStatus.FIRING
        status[resolves] = AlertStatus.RESOLVED

        self._remember(state, rows, seen, begins & anomalous, anomalous, firing, lasts)
        # Only an alert that fired for too long leaves a level to accept.
        leaves_none = (resolves & ~too_long) | (lapses & (before == AlertStatus.PENDING))
        state["alert.usual"][rows] = np.where(leaves_none, np.nan, state["alert.usual"][rows])
        state["alert.history"][rows] = np.where(resolves, 0, history)
        state["alert.normal"][rows] = normal
        state["alert.starts_at"][rows] = starts_at
        state["alert.ended_at"][rows] = np.where(resolves, seen.times, state["alert.ended_at"][rows])
        state["alert.status"][rows] = np.where(resolves, AlertStatus.NONE, status)
        return status

    def _lasts(self, state: Columns, rows: Rows, seen: Observation, firing: Bool) -> Bool:
        """[B] whether the stream is still where it alarmed: closer to the worst value than to its usual level.

        Scores cannot tell: they fall within a few samples, because a level does not stay new for long, whereas how long
        it lasts is a matter of event time. Meanwhile the usual level follows its daily course. The worst value may
        follow along, as after a level shift, or stay put, as in an outage; the nearer of the two counts. A stream that
        alarmed within its band, like a stuck one, is still there while it repeats that value.
        """
        worst_B, usual_B = state["alert.worst"][rows, 1], state["alert.usual"][rows]
        away_B = np.abs(seen.values - worst_B)
        some = np.flatnonzero(firing & np.isfinite(usual_B))
        if len(some):
            begun, since, now = (
                state["alert.starts_at"][rows[some]],
                state["alert.worst"][rows[some], 0],
                seen.times[some],
            )
            gone_along = worst_B[some] + self.usual_change(state, rows[some], since, now)
            away_B[some] = np.minimum(away_B[some], np.abs(seen.values[some] - gone_along))
            usual_B[some] += self.usual_change(state, rows[some], begun, now)
        return np.asarray((away_B < np.abs(seen.values - usual_B)) | (np.isnan(usual_B) & (away_B == 0.0)))

    def _is_accepted(self, state: Columns, rows: Rows, seen: Observation) -> Bool:
        """[B] whether this is the level of an alert that fired for too long, for at most that long after its end."""
        worst = state["alert.worst"][rows, 1]
        near = np.abs(seen.values - worst) < 0.5 * np.abs(state["alert.usual"][rows] - worst)
        return np.asarray(near & (seen.times < state["alert.ended_at"][rows] + self.max_firing_seconds))

    @staticmethod
    def _remember(
        state: Columns, rows: Rows, seen: Observation, fresh: Bool, anomalous: Bool, firing: Bool, lasts: Bool
    ) -> None:
        """Store the worst sample and, until the alert fires, the value expected at the first one outside its band.

        The return to normal may score higher than the anomaly itself. While an alert fires, a sample can therefore only
        become the worst if it `lasts`, or if it lies within its band as all before it did.
        """
        worst = state["alert.worst"][rows]
        usual = np.where(fresh, np.nan, state["alert.usual"][rows])
        outside = (seen.values < seen.lower) | (seen.values > seen.upper)
        worse = anomalous & (fresh | (seen.scores > worst[:, 5])) & (~firing | lasts | (np.isnan(usual) & ~outside))
        now = np.stack((seen.times, seen.values, seen.expected, seen.lower, seen.upper, seen.scores), axis=1)
        state["alert.worst"][rows] = np.where(worse[:, None], now, worst)
        state["alert.worst_offset"][rows] = np.where(worse, seen.offsets, state["alert.worst_offset"][rows])
        begins = anomalous & ~firing & outside & np.isnan(usual)
        state["alert.usual"][rows] = np.where(begins, seen.expected, usual)


def _take(seen: Observation, some: npt.NDArray[np.int64]) -> Observation:
    columns: list[npt.NDArray[Any]] = [
        seen.times, seen.values, seen.expected, seen.lower, seen.upper, seen.scores, seen.offsets
    ]  # fmt: skip
    return Observation(*(column[some] for column in columns))
