"""From a sample and its forecast to an anomaly score, and the learning that follows.

p is the tail probability of the largest novelty (`views.py`), or that of a plain alarm if that is smaller: a run of
repeats, or a residual far from every established one, even if it happened before (`PLAIN_WORTH`). anomaly_score = log p
/ log p_budget, so above 1 a sample is rarer than the alert budget allows; beyond 1, the score grows with the logarithm
of that ratio.

`score` reads, `learn` writes. Both are elementwise over rows, so a result does not depend on which rows share a call.
Results are finite for every finite |value| <= 1e30.
"""

from __future__ import annotations

import numpy as np

from detector.columns import Bool, Columns, Rows, reset
from detector.records import Float64
from detector.scoring.budget import Budget, shortfall
from detector.scoring.compact import TAIL as COMPACT_TAIL
from detector.scoring.compact import compact_views
from detector.scoring.compress import compressed
from detector.scoring.outset import is_dominated
from detector.scoring.score import Score, ScorerSettings
from detector.scoring.views import LARGEST, NOISE_FLOOR, Evidence, Views
from detector.stats.quantile import CoverageFactor
from detector.stats.tail import PooledTail

ABSURD = 500.0
"""Deviations from the mean beyond which a value may not be a measurement: an overflow, another unit. Deviations never
forget, so after learning one such value nothing else would be rare again."""
PLAIN_WORTH = 1.05
"""Worth of a plain alarm, as a multiple of the price: enough for an alarm, but never to outrank what is new. A run of
repeats is worth at most this, because its probability is extrapolated from the stream's habit of repeating. An outage
that happened before is worth this much as long as the stream has hardly overspent its budget."""
TAIL = PooledTail(threshold=0.1, rate=0.01, mean_excess=0.228)
"""Fitted to quiet synthetic streams (seed 72; 1, 5 and 60 minutes in equal shares), to keep budgets of 0.1 to 0.5
alerts per stream and week on the whole; `python -m benchmarks.detection quiet` measures others."""
SURCHARGE = 0.4
"""Surprise asked on top for each factor of e by which a budget is below the default: far out, the scores of quiet
streams decay more slowly than the tail, because the tails of some of them are heavy."""


class Scorer:
    """All scoring state of a stream."""

    def __init__(self, settings: ScorerSettings | None = None, *, compact: bool = False) -> None:
        """A `compact` scorer remembers fewer numbers, and judges neither daily habit nor calm."""
        self.settings = settings or ScorerSettings()
        asked = self.settings.alerts_per_stream_week
        self.views = compact_views() if compact else Views.full(asked)
        self.tail = COMPACT_TAIL if compact else TAIL
        self.budget = Budget(asked, SURCHARGE * shortfall(asked))
        self._band = CoverageFactor("band", self.settings.band_coverage)
        self.fields = (*self.views.fields, *self.budget.fields, *self._band.fields)

    def score(self, state: Columns, rows: Rows, times: Float64, values: Float64, loc: Float64, scale: Float64) -> Score:
        """Judge one round against the forecasts made before it. Where `loc` is not finite, the value replaces it."""
        least_B, forecast_B = self.views.least(state, rows), np.isfinite(loc)
        expected_B = np.clip(np.where(forecast_B, np.maximum(loc, least_B), values), -LARGEST, LARGEST)
        seen = self.views.look(state, rows, times, values, expected_B)
        warming_B = self.warming(state, rows)
        novelty_B, anomaly_B, surprise_B = self._judge(state, rows, values, seen, warming_B)
        half_B = self._band.factor(state, rows) * np.clip(scale, 0.0, LARGEST)
        absurd_B = self._is_absurd(state, rows, values, seen) & ~warming_B
        return Score(
            anomaly_score=anomaly_B,
            expected=np.where(forecast_B, expected_B, np.nan),
            lower=np.maximum(expected_B - half_B, least_B),
            upper=expected_B + half_B,
            warming=warming_B,
            novelty=novelty_B,
            size=np.minimum(np.abs(seen.residual) / seen.residual_deviation, LARGEST),
            reach=_reach(values, seen),
            believed=np.where(absurd_B, expected_B, values),
            surprise=surprise_B,
            evidence=seen,
        )

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, score: Score) -> None:
        """Take in the round that `score` judged."""
        inside_B = (values >= score.lower) & (values <= score.upper)
        self.views.learn(state, rows, times, values, score.believed, score.evidence)
        self.budget.update(state, rows, score.evidence.interval, score.surprise, score.believed != values)
        self._band.update(state, rows, inside_B)

    def warming(self, state: Columns, rows: Rows) -> Bool:
        """[B] whether the stream is in warmup: its next sample will not be judged."""
        return self.views.moments.count(state, rows) < self.settings.warmup_samples

    def is_warmup_dominated(self, state: Columns, rows: Rows) -> Bool:
        """[B] whether one absurd value dominated the warmup that just ended (`outset.py`); at most once per stream."""
        found_B = np.asarray(self.views.moments.count(state, rows) == self.settings.warmup_samples)
        ended = np.flatnonzero(found_B)
        if len(ended):
            numbers = self.views.values.numbers(state, rows[ended])
            found_B[ended] = is_dominated(numbers, ABSURD, NOISE_FLOOR) & ~self.budget.has_spent(state, rows[ended])
        return found_B

    def restart(self, state: Columns, rows: Rows) -> None:
        """Forget these streams, except for the alarm that their absurd value would have been."""
        reset(self.fields, state, rows)
        self.budget.book(state, rows)

    def usual_change(self, state: Columns, rows: Rows, since: Float64, now: Float64) -> Float64:
        """[B] change of the value from one moment to another under the stream's daily habit; 0 without one."""
        return self.views.habit.change(state, rows, since, now)

    def _judge(
        self, state: Columns, rows: Rows, values: Float64, seen: Evidence, warming_B: Bool
    ) -> tuple[Float64, Float64, Float64]:
        """[B] novelty, anomaly score and surprise; all 0 during warmup, in which nothing is judged."""
        if warming_B.all():
            novelty_B, anomaly_B, surprise_B = np.zeros((3, len(rows)))
            return novelty_B, anomaly_B, surprise_B
        novelty_B = np.where(warming_B, 0.0, self.views.novelty(state, rows, values, seen))
        base_B = self.budget.base(seen.interval)
        price_B = base_B + self.budget.overspent(state, rows)
        plain_B = self._plain(state, rows, seen, base_B, price_B)
        surprise_B = np.where(warming_B, 0.0, np.maximum(self.tail.surprise(novelty_B), plain_B))
        return novelty_B, *self._without_excluded(values, seen.expected, surprise_B, price_B)

    def _plain(self, state: Columns, rows: Rows, seen: Evidence, base_B: Float64, price_B: Float64) -> Float64:
        """[B] surprise of what is a plain alarm: a run of repeats, a residual far from every established one."""
        flat_B = np.minimum(self.views.flat.surprise(state, rows, seen.flat_run), PLAIN_WORTH * price_B)
        outage_B = self.views.recurrence.is_outage(seen.returned * seen.varies, seen.samples * seen.interval)
        return np.maximum(flat_B, PLAIN_WORTH * base_B * outage_B)

    def _is_absurd(self, state: Columns, rows: Rows, values: Float64, seen: Evidence) -> Bool:
        """[B] whether an absurd value starts an alarm, or comes soon after one that did (`Budget.is_early`).

        False for streams that have clearly overspent their budget. For a stream that never moved, the unit is its
        value.
        """
        unit_B = np.where(seen.varies, seen.deviation, np.abs(seen.mean))
        absurd_B = (np.abs(values - seen.mean) > ABSURD * unit_B) & (unit_B > 0.0)
        if absurd_B.any():
            absurd_B &= self.budget.is_early(state, rows)
            price_B, base_B = self.budget.price(state, rows, seen.interval), self.budget.base(seen.interval)
            absurd_B &= price_B < PLAIN_WORTH * base_B
        return np.asarray(absurd_B)

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


def _reach(values: Float64, seen: Evidence) -> Float64:
    """[B] distance from the mean of all earlier values, or from the daily habit if that is nearer, in deviations."""
    away_B = np.abs(values - seen.mean) * (seen.samples > 0.0)
    away_B = np.where(seen.departure.is_open, np.minimum(away_B, np.abs(seen.departure.error)), away_B)
    return np.minimum(away_B / seen.deviation, LARGEST)
