"""From a sample and its forecast to an anomaly score, and the learning that follows.

raw is the largest of up to four novelties: of the value, of the residual, of a calm, and, if the stream has a daily
habit, of the departure from it. Each is in its own standard deviations over the whole history; for a value, the
deviation of its side of the mean is used if that is smaller. With a history of n samples, each novelty is multiplied by
n / (n + 500), and the part that is a recurrence by n / (n + 300).

p is the tail probability of raw, or that of a plain alarm if that is smaller: a run of repeats, or a residual far from
every established one, even if it happened before (`PLAIN_WORTH`). anomaly_score = log p / log p_budget, so above 1 a
sample is rarer than the alert budget allows; beyond 1, the score grows with the logarithm of that ratio.

`score` reads, `learn` writes. Both are elementwise over rows, so a result does not depend on which rows share a call.
Results are finite for every finite |value| <= 1e30.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from detector.columns import Columns, Rows, reset
from detector.scoring.budget import Budget
from detector.scoring.calm import Calm
from detector.scoring.compact import RESIDUALS, VALUES, CoarseMemory, NoCalm, NoHabit, NoMemory, NoRecurrence
from detector.scoring.compact import TAIL as COMPACT_TAIL
from detector.scoring.compress import compressed
from detector.scoring.flatline import FlatLine
from detector.scoring.interval import SamplingInterval
from detector.scoring.outset import is_dominated
from detector.scoring.recurrence import RARE, Recurrence
from detector.scoring.score import Score, ScorerSettings
from detector.scoring.season import DailyHabit, Departure
from detector.stats.moments import Moments, SidedMoments
from detector.stats.novelty import Distance, NoveltyMemory
from detector.stats.quantile import CoverageFactor
from detector.stats.tail import PooledTail

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LARGEST = 1e31
NOISE_FLOOR = 1e-4
"""Minimum deviation as a share of the values' magnitude: scores of a stream without noise must not explode."""
HALF_TRUST_SAMPLES = 500.0
"""History at which a novelty counts half: much is new to a short memory."""
HALF_TRUST_RETURNS = 300.0
"""The same for a recurrence: it takes less history to know that a value was seen before than that it was not."""
LEAST_SHARE = 0.1
"""Minimum deviation of residuals and departures as a share of the values' deviation: a perfect forecast must not make
scores explode."""
SURPRISE = 2.0
"""Size of a residual, in deviations of the residuals, after which the forecast before it counts as well."""
ABSURD = 500.0
"""Deviations from the mean beyond which a value may not be a measurement: an overflow, another unit. Deviations never
forget, so after learning one such value nothing else would be rare again."""
PAUSE = 2.5
"""Usual intervals between two samples beyond which the forecast was for another moment; one missing sample is not a
pause."""
HABIT_SIZE = 32
PLAIN_WORTH = 1.05
"""Worth of a plain alarm, as a multiple of the price: enough for an alarm, but never to outrank what is new. A run of
repeats is worth at most this, because its probability is extrapolated from the stream's habit of repeating. An outage
that happened before is worth this much as long as the stream has hardly overspent its budget."""
TAIL = PooledTail(threshold=0.1, rate=0.01, mean_excess=0.228)
"""Fitted to quiet synthetic streams (seed 72; 1, 5 and 60 minutes in equal shares), to keep budgets of 0.1 to 0.5
alerts per stream and week on the whole; `python -m benchmarks.detection quiet` measures others."""


class Scorer:
    """All scoring state of a stream."""

    def __init__(self, settings: ScorerSettings | None = None, *, compact: bool = False) -> None:
        """A `compact` scorer remembers fewer numbers, and judges neither daily habit nor calm."""
        self.settings = settings or ScorerSettings()
        self._values = CoarseMemory("value", VALUES) if compact else NoveltyMemory("value")
        self._residuals = CoarseMemory("residual", RESIDUALS) if compact else NoveltyMemory("residual")
        self._habit = NoHabit() if compact else DailyHabit()
        self._departures = NoMemory("departure") if compact else NoveltyMemory("departure", HABIT_SIZE)
        self._moments = SidedMoments("value")
        self._residual_moments = Moments("residual")
        self._flat = FlatLine()
        self._calm = NoCalm() if compact else Calm()
        self._recurrence = NoRecurrence() if compact else Recurrence(self.settings.alerts_per_stream_week)
        self._tail = COMPACT_TAIL if compact else TAIL
        self._interval = SamplingInterval()
        self._budget = Budget(self.settings.alerts_per_stream_week)
        self._band = CoverageFactor("band", self.settings.band_coverage)
        memories = (self._values, self._residuals, self._departures)
        learners = (self._habit, self._moments, self._residual_moments, self._flat, self._calm, self._recurrence)
        others = (*learners, self._interval, self._budget, self._band)
        self.fields = tuple(field for part in (*memories, *others) for field in part.fields)

    def score(self, state: Columns, rows: Rows, times: Float64, values: Float64, loc: Float64, scale: Float64) -> Score:
        """Judge one round against the forecasts made before it. Where `loc` is not finite, the value replaces it."""
        expected_B = _expected(values, loc)
        interval_B = self._interval.seconds(state, rows)
        deviation_B = self._moments.floored_deviation(state, rows, NOISE_FLOOR)
        least_B = LEAST_SHARE * deviation_B
        residual_deviation_B = np.maximum(self._residual_moments.deviation(state, rows), least_B)
        residual_B = self._residual(state, rows, times, values, expected_B, residual_deviation_B)
        value_deviation_B = np.clip(self._moments.side_deviation(state, rows, values), least_B, deviation_B)
        value_distance = self._values.distance(state, rows, times, values)
        residual_distance = self._residuals.distance(state, rows, times, residual_B)
        departure = self._habit.departure(state, rows, times, values, interval_B)
        opened = np.flatnonzero(departure.is_open)
        habit_distance = self._departures.distance(state, rows[opened], times[opened], departure.smoothed[opened])
        run_B = self._flat.run(state, rows, values)
        moved = np.flatnonzero(run_B == 0.0)
        level = self._calm.level(state, rows[moved], residual_B[moved], residual_deviation_B[moved], interval_B[moved])
        count_B = self._moments.count(state, rows)
        # Residuals of a stream that never moved are rounding errors of the forecaster.
        alone = self._recurrence.alone
        residual_novelty_B = _novelty(residual_distance, residual_deviation_B, count_B, alone)
        calm_B = level.novelty * _trust(count_B[moved])
        residual_novelty_B[moved] = np.maximum(residual_novelty_B[moved], calm_B)
        varies_B = self._moments.varies(state, rows)
        residual_novelty_B *= varies_B
        bound_B = self._recurrence.bound(state, rows)
        novelty_B = np.maximum(_novelty(value_distance, value_deviation_B, count_B, bound_B), residual_novelty_B)
        habit_deviation_B = np.maximum(self._habit.deviation(state, rows[opened]), least_B[opened])
        habit_B = _novelty(habit_distance, habit_deviation_B, self._departures.seen(state, rows[opened]), alone)
        novelty_B[opened] = np.maximum(novelty_B[opened], habit_B)
        raw_B = np.minimum(novelty_B, LARGEST)
        base_B = self._budget.base(interval_B)
        price_B = base_B + self._budget.overspent(state, rows)
        returned_B = residual_distance.established / residual_deviation_B * _trust(count_B, HALF_TRUST_RETURNS)
        is_outage_B = self._recurrence.is_outage(returned_B * varies_B, count_B * interval_B)
        flat_B = np.minimum(self._flat.surprise(state, rows, run_B), PLAIN_WORTH * price_B)
        plain_B = np.maximum(flat_B, PLAIN_WORTH * base_B * is_outage_B)
        warming_B = self.warming(state, rows)
        surprise_B = np.where(warming_B, 0.0, np.maximum(self._tail.surprise(raw_B), plain_B))
        anomaly_B, surprise_B = self._without_excluded(values, expected_B, surprise_B, price_B)
        half_B = self._band.factor(state, rows) * np.clip(scale, 0.0, LARGEST)
        return Score(
            raw=raw_B,
            anomaly_score=anomaly_B,
            lower=expected_B - half_B,
            upper=expected_B + half_B,
            warming=warming_B,
            surprise=surprise_B,
            believed=np.where(self._is_absurd(state, rows, values, deviation_B), expected_B, values),
            residual=residual_B,
            size=np.minimum(np.abs(residual_B) / residual_deviation_B, LARGEST),
            reach=self._reach(state, rows, values, deviation_B, departure),
            rare=value_distance.established > RARE * deviation_B,
            value_distance=value_distance,
            residual_distance=residual_distance,
            departure=departure,
            habit_distance=habit_distance,
            flat_run=run_B,
            level=level,
        )

    def learn(
        self, state: Columns, rows: Rows, times: Float64, values: Float64, loc: Float64, scale: Float64, score: Score
    ) -> None:
        """Take in the round that `score` judged, given the same arguments."""
        inside_B = (values >= score.lower) & (values <= score.upper)
        given, run_B = values, score.flat_run
        absurd_B = score.believed != values
        if absurd_B.any():
            values = score.believed
            score = replace(self.score(state, rows, times, values, loc, scale), surprise=score.surprise)
        self._values.update(state, rows, times, values, score.value_distance)
        self._residuals.update(state, rows, times, score.residual, score.residual_distance)
        opened = np.flatnonzero(score.departure.is_open)
        smoothed_B = score.departure.smoothed[opened]
        self._departures.update(state, rows[opened], times[opened], smoothed_B, score.habit_distance)
        interval_B = self._interval.seconds(state, rows)
        self._habit.update(state, rows, times, values, interval_B, score.departure)
        self._moments.update(state, rows, values)
        self._residual_moments.update(state, rows, score.residual)
        self._flat.update(state, rows, given, run_B)
        moved = np.flatnonzero(score.flat_run == 0.0)
        self._calm.update(state, rows[moved], score.level, interval_B[moved])
        self._recurrence.update(state, rows, score.rare, interval_B)
        self._budget.update(state, rows, interval_B, score.surprise, absurd_B)
        self._interval.update(state, rows, times)
        self._band.update(state, rows, inside_B)

    def is_warmup_dominated(self, state: Columns, rows: Rows) -> Bools:
        """[B] whether one absurd value dominated the warmup that just ended (`outset.py`); at most once per stream."""
        found_B = np.asarray(self._moments.count(state, rows) == self.settings.warmup_samples)
        ended = np.flatnonzero(found_B)
        if len(ended):
            numbers = self._values.numbers(state, rows[ended])
            found_B[ended] = is_dominated(numbers, ABSURD, NOISE_FLOOR) & ~self._budget.has_spent(state, rows[ended])
        return found_B

    def restart(self, state: Columns, rows: Rows) -> None:
        """Forget these streams, except for the alarm that their absurd value would have been."""
        reset(self.fields, state, rows)
        self._budget.book(state, rows)

    def _residual(
        self, state: Columns, rows: Rows, times: Float64, values: Float64, expected_B: Float64, deviation_B: Float64
    ) -> Float64:
        """[B] value minus forecast; after a surprise, minus the forecast before it if that is nearer.

        A surprise misleads the next forecast, most of all one that repeats the last value. So the return to what was
        expected before is not a surprise of its own. `deviation_B` is that of the residuals.
        """
        missed_B = values - expected_B
        last_B = self._residuals.newest(state, rows)
        after = np.flatnonzero(np.abs(last_B) > SURPRISE * deviation_B)
        if len(after):
            back_B = values[after] - (self._flat.last(state, rows[after]) - last_B[after])
            missed_B[after] = np.where(np.abs(back_B) < np.abs(missed_B[after]), back_B, missed_B[after])
        return self._per_interval(state, rows, times, missed_B)

    def _per_interval(self, state: Columns, rows: Rows, times: Float64, missed_B: Float64) -> Float64:
        """[B] residuals; after a pause, minus what the habit explains, divided by the root of the pause in intervals.

        A forecast is for one interval after the last sample. Like those of a random walk, its errors grow with the root
        of the number of intervals that it has to span.
        """
        since_B, interval_B = self._interval.since(state, rows, times), self._interval.seconds(state, rows)
        paused = np.flatnonzero(since_B > PAUSE * interval_B)
        if len(paused):
            due_B = times[paused] - since_B[paused] + interval_B[paused]
            usual_B = self._habit.change(state, rows[paused], due_B, times[paused])
            missed_B[paused] = (missed_B[paused] - usual_B) / np.sqrt(since_B[paused] / interval_B[paused])
        return missed_B

    def _is_absurd(self, state: Columns, rows: Rows, values: Float64, deviation_B: Float64) -> Bools:
        """[B] whether an absurd value starts an alarm, or comes soon after one that did (`Budget.is_early`).

        False for streams that have clearly overspent their budget. For a stream that never moved, the unit is its
        value.
        """
        mean_B = self._moments.mean(state, rows)
        unit_B = np.where(self._moments.varies(state, rows), deviation_B, np.abs(mean_B))
        absurd_B = (np.abs(values - mean_B) > ABSURD * unit_B) & (unit_B > 0.0) & ~self.warming(state, rows)
        if absurd_B.any():
            absurd_B &= self._budget.is_early(state, rows)
            base_B = self._budget.base(self._interval.seconds(state, rows))
            absurd_B &= (base_B + self._budget.overspent(state, rows)) < PLAIN_WORTH * base_B
        return np.asarray(absurd_B)

    def _reach(
        self, state: Columns, rows: Rows, values: Float64, deviation_B: Float64, departure: Departure
    ) -> Float64:
        away_B = np.abs(values - self._moments.mean(state, rows)) * (self._moments.count(state, rows) > 0.0)
        away_B = np.where(departure.is_open, np.minimum(away_B, np.abs(departure.error)), away_B)
        return np.minimum(away_B / deviation_B, LARGEST)

    def usual_change(self, state: Columns, rows: Rows, since: Float64, now: Float64) -> Float64:
        """[B] change of the value from one moment to another under the stream's daily habit; 0 without one."""
        return self._habit.change(state, rows, since, now)

    def warming(self, state: Columns, rows: Rows) -> Bools:
        """[B] whether the stream is in warmup: its next sample will not be judged."""
        return self._moments.count(state, rows) < self.settings.warmup_samples

    def _without_excluded(
        self, values: Float64, expected_B: Float64, surprise_B: Float64, price_B: Float64
    ) -> tuple[Float64, Float64]:
        """[B] anomaly scores and surprise; at most 1, and 0, for deviations whose size or side the settings exclude."""
        settings, anomaly_B = self.settings, compressed(surprise_B / price_B)
        away_B = values - expected_B
        excluded_B = np.abs(away_B) < settings.min_dev_from_expected
        excluded_B |= np.abs(away_B) < settings.min_rel_dev_from_expected * np.abs(expected_B)
        if settings.direction == "above":
            excluded_B |= away_B < 0.0
        elif settings.direction == "below":
            excluded_B |= away_B > 0.0
        return np.where(excluded_B, np.minimum(anomaly_B, 1.0), anomaly_B), np.where(excluded_B, 0.0, surprise_B)


def _novelty(distance: Distance, deviation_B: Float64, count_B: Float64, bound_B: Float64 | float) -> Float64:
    """[B] distance to the nearest remembered number, plus the bounded excess of that to the nearest established one."""
    rare_B = (distance.established - distance.any) / deviation_B
    returned_B = np.minimum(rare_B, bound_B) * _trust(count_B, HALF_TRUST_RETURNS)
    return distance.any / deviation_B * _trust(count_B) + returned_B


def _trust(count_B: Float64, half: float = HALF_TRUST_SAMPLES) -> Float64:
    """[B] weight of a novelty by the length of the history."""
    return count_B / (count_B + half)


def _expected(values: Float64, loc: Float64) -> Float64:
    """[B] the forecast, or the value itself where there is none."""
    return np.clip(np.where(np.isfinite(loc), loc, values), -LARGEST, LARGEST)
