"""The views of a stream: everything that a sample is compared with, in the stream's own units.

There are up to four novelties: of the value, of the residual, of a calm, and, if the stream has a daily habit, of the
departure from it. Each is in its own standard deviations over the whole history; for a value, the deviation of its side
of the mean is used if that is smaller. With a history of n samples, each novelty is multiplied by n / (n + 500), and
the part that is a recurrence by n / (n + 300).

`look` and `novelty` read, `learn` writes.

Shape legend: B rows of one call, O of them whose daily habit counts, M whose value moved.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from detector.columns import Bool, Columns, Field, Rows
from detector.records import Float64, Int64
from detector.scoring.calm import Calm, Level
from detector.scoring.flatline import FlatLine
from detector.scoring.interval import SamplingInterval
from detector.scoring.recurrence import RARE, Recurrence
from detector.scoring.season import DailyHabit, Departure
from detector.stats.moments import Moments, SidedMoments
from detector.stats.novelty import Distance, NoveltyMemory

LARGEST = 1e31
NOISE_FLOOR = 1e-4
"""Minimum deviation as a share of the values' magnitude: scores of a stream without noise must not explode."""
LEAST_SHARE = 0.1
"""Minimum deviation of residuals and departures as a share of the values' deviation: a perfect forecast must not make
scores explode."""
SURPRISE = 2.0
"""Size of a residual, in deviations of the residuals, after which the forecast before it counts as well."""
PAUSE = 2.5
"""Usual intervals between two samples beyond which the forecast was for another moment; one missing sample is not a
pause."""
HALF_TRUST_SAMPLES = 500.0
"""History at which a novelty counts half: much is new to a short memory."""
HALF_TRUST_RETURNS = 300.0
"""The same for a recurrence: it takes less history to know that a value was seen before than that it was not."""
HABIT_SIZE = 32


class Evidence(NamedTuple):
    """What the views show of a round, before it is learned; [B] each unless stated otherwise."""

    expected: Float64
    """The forecast, or the value where there was none."""
    interval: Float64
    """Usual seconds between two samples."""
    samples: Float64
    """Number learned so far."""
    mean: Float64
    """Mean of these; 0 before the first."""
    deviation: Float64
    """Their standard deviation, with a floor."""
    varies: Bool
    """Two of them have differed."""
    residual: Float64
    """Value minus forecast; reduced after a surprise and after a pause, as `Views` describes."""
    residual_deviation: Float64
    """Standard deviation of the residuals so far, with a floor."""
    value_distance: Distance
    residual_distance: Distance
    departure: Departure
    opened: Int64
    """[O] positions of the rows whose daily habit counts."""
    habit_distance: Distance
    """[O] distance of the departure from earlier ones."""
    flat_run: Float64
    """Repeats in a row, including this sample."""
    moved: Int64
    """[M] positions of the rows whose value moved."""
    level: Level
    """[M] level of calm."""

    @property
    def returned(self) -> Float64:
        """[B] distance of the residual from every established one, in deviations, by the trust in it."""
        away_B = self.residual_distance.established / self.residual_deviation
        return away_B * trust(self.samples, HALF_TRUST_RETURNS)


@dataclass(frozen=True, slots=True)
class Views:
    """The parts that a profile judges streams by; the order is that of their columns in stored state.

    A surprise misleads the next forecast, most of all one that repeats the last value. So the return to what was
    expected before is not a surprise of its own: after a surprise, a residual is the value minus the forecast before
    it, if that is nearer.

    A forecast is for one interval after the last sample. Like those of a random walk, its errors grow with the root of
    the number of intervals that it has to span: after a pause, a residual is what the habit does not explain of it,
    divided by the root of the pause in intervals.
    """

    values: NoveltyMemory
    residuals: NoveltyMemory
    departures: NoveltyMemory
    habit: DailyHabit
    moments: SidedMoments
    residual_moments: Moments
    flat: FlatLine
    calm: Calm
    recurrence: Recurrence
    interval: SamplingInterval

    @classmethod
    def full(cls, alerts_per_stream_week: float) -> Views:
        """Those of the full profile."""
        return cls(
            values=NoveltyMemory("value"),
            residuals=NoveltyMemory("residual"),
            departures=NoveltyMemory("departure", HABIT_SIZE),
            habit=DailyHabit(),
            moments=SidedMoments("value"),
            residual_moments=Moments("residual"),
            flat=FlatLine(),
            calm=Calm(),
            recurrence=Recurrence(alerts_per_stream_week),
            interval=SamplingInterval(),
        )

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns of all parts."""
        return tuple(field for part in fields(self) for field in getattr(self, part.name).fields)

    def look(self, state: Columns, rows: Rows, times: Float64, values: Float64, expected: Float64) -> Evidence:
        """Compare one round with what is known of the streams; changes nothing."""
        interval_B = self.interval.seconds(state, rows)
        deviation_B = self.moments.floored_deviation(state, rows, NOISE_FLOOR)
        residual_deviation_B = self.residual_moments.deviation(state, rows)
        residual_deviation_B = np.maximum(residual_deviation_B, LEAST_SHARE * deviation_B)
        residual_B = self._return(state, rows, values, values - expected, residual_deviation_B)
        residual_B = self._per_interval(state, rows, times, residual_B, interval_B)
        departure = self.habit.departure(state, rows, times, values, interval_B)
        opened = np.flatnonzero(departure.is_open)
        run_B = self.flat.run(state, rows, values)
        moved = np.flatnonzero(run_B == 0.0)
        return Evidence(
            expected=expected,
            interval=interval_B,
            samples=self.moments.count(state, rows),
            mean=self.moments.mean(state, rows),
            deviation=deviation_B,
            varies=self.moments.varies(state, rows),
            residual=residual_B,
            residual_deviation=residual_deviation_B,
            value_distance=self.values.distance(state, rows, times, values),
            residual_distance=self.residuals.distance(state, rows, times, residual_B),
            departure=departure,
            opened=opened,
            habit_distance=self.departures.distance(state, rows[opened], times[opened], departure.smoothed[opened]),
            flat_run=run_B,
            moved=moved,
            level=self.calm.level(
                state, rows[moved], residual_B[moved], residual_deviation_B[moved], interval_B[moved]
            ),
        )

    def least(self, state: Columns, rows: Rows) -> Float64:
        """[B] below which nothing is expected: 0 for a stream that was never negative, else -infinity."""
        smallest_B = self.values.smallest(state, rows)
        positive_B = (smallest_B >= 0.0) & np.isfinite(smallest_B) & (self.flat.last(state, rows) >= 0.0)
        return np.where(positive_B, 0.0, -np.inf)

    def novelty(self, state: Columns, rows: Rows, values: Float64, seen: Evidence) -> Float64:
        """[B] the largest novelty, weighted by trust, in deviations; `seen` is what `look` returned for these."""
        least_B, opened, moved = LEAST_SHARE * seen.deviation, seen.opened, seen.moved
        alone = self.recurrence.alone
        residual_B = _novelty(seen.residual_distance, seen.residual_deviation, seen.samples, alone)
        residual_B[moved] = np.maximum(residual_B[moved], seen.level.novelty * trust(seen.samples[moved]))
        # Residuals of a stream that never moved are rounding errors of the forecaster.
        residual_B *= seen.varies
        side_B = np.clip(self.moments.side_deviation(state, rows, values), least_B, seen.deviation)
        value_B = _novelty(seen.value_distance, side_B, seen.samples, self.recurrence.bound(state, rows))
        novelty_B = np.maximum(value_B, residual_B)
        habit_deviation_B = np.maximum(self.habit.deviation(state, rows[opened]), least_B[opened])
        departures_B = self.departures.seen(state, rows[opened])
        habit_B = _novelty(seen.habit_distance, habit_deviation_B, departures_B, alone)
        novelty_B[opened] = np.maximum(novelty_B[opened], habit_B)
        return np.minimum(novelty_B, LARGEST)

    def learn(
        self, state: Columns, rows: Rows, times: Float64, given: Float64, believed: Float64, seen: Evidence
    ) -> None:
        """Take in the round that `look` compared; where values are not `believed`, only the flat line learns them."""
        run_B = seen.flat_run
        if (believed != given).any():
            seen = self.look(state, rows, times, believed, seen.expected)
        self.values.update(state, rows, times, believed, seen.value_distance)
        self.residuals.update(state, rows, times, seen.residual, seen.residual_distance)
        smoothed_B = seen.departure.smoothed[seen.opened]
        self.departures.update(state, rows[seen.opened], times[seen.opened], smoothed_B, seen.habit_distance)
        self.habit.update(state, rows, times, believed, seen.interval, seen.departure)
        self.moments.update(state, rows, believed)
        self.residual_moments.update(state, rows, seen.residual)
        self.flat.update(state, rows, given, run_B)
        self.calm.update(state, rows[seen.moved], seen.level, seen.interval[seen.moved])
        self.recurrence.update(state, rows, seen.value_distance.established > RARE * seen.deviation, seen.interval)
        self.interval.update(state, rows, times)

    def _return(self, state: Columns, rows: Rows, values: Float64, missed_B: Float64, deviation_B: Float64) -> Float64:
        """[B] errors of the forecasts; after a surprise, of the forecast before it if that was nearer."""
        last_B = self.residuals.newest(state, rows)
        after = np.flatnonzero(np.abs(last_B) > SURPRISE * deviation_B)
        if len(after):
            back_B = values[after] - (self.flat.last(state, rows[after]) - last_B[after])
            missed_B[after] = np.where(np.abs(back_B) < np.abs(missed_B[after]), back_B, missed_B[after])
        return missed_B

    def _per_interval(
        self, state: Columns, rows: Rows, times: Float64, missed_B: Float64, interval_B: Float64
    ) -> Float64:
        """[B] residuals: these errors, except after a pause."""
        since_B = self.interval.since(state, rows, times)
        paused = np.flatnonzero(since_B > PAUSE * interval_B)
        if len(paused):
            due_B = times[paused] - since_B[paused] + interval_B[paused]
            usual_B = self.habit.change(state, rows[paused], due_B, times[paused])
            missed_B[paused] = (missed_B[paused] - usual_B) / np.sqrt(since_B[paused] / interval_B[paused])
        return missed_B


def _novelty(distance: Distance, deviation_B: Float64, count_B: Float64, bound_B: Float64 | float) -> Float64:
    """[B] distance to the nearest remembered number, plus the bounded excess of that to the nearest established one."""
    rare_B = (distance.established - distance.any) / deviation_B
    returned_B = np.minimum(rare_B, bound_B) * trust(count_B, HALF_TRUST_RETURNS)
    return distance.any / deviation_B * trust(count_B) + returned_B


def trust(count_B: Float64, half: float = HALF_TRUST_SAMPLES) -> Float64:
    """[B] weight of a novelty by the length of the history."""
    return count_B / (count_B + half)
