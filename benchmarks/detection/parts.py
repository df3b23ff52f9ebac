"""The detector without one of its parts, everything else equal.

Parts are replaced in the product's own scorer. B rows of one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np

from benchmarks.detection.components import Forecasts, Persistence
from detector.columns import Bool, Columns, Field, Rows
from detector.models.forecaster import Forecaster
from detector.models.naive import Bank, Clock, best_expert, unpack
from detector.protocols import Forecast
from detector.records import Float64
from detector.scoring import GroupScorer, Scorer
from detector.scoring.budget import Budget
from detector.scoring.compact import NoCalm, NoHabit, NoMemory, NoRecurrence
from detector.scoring.flatline import FlatLine
from detector.scoring.group import Members, Parts
from detector.scoring.recurrence import Recurrence
from detector.scoring.score import Score
from detector.stats.moments import Moments, SidedMoments
from detector.stats.novelty import Distance, NoveltyMemory
from detector.stats.tail import PooledTail

LONG = 1e9


class BestExpert:
    """The network's bank of naive forecasts without the network: the one with the smallest running error."""

    def __init__(self) -> None:
        self._bank = Bank()
        self.fields: tuple[Field, ...] = (*Bank.fields, Field("forecast", (2,), "float64", float("nan")))

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        both = state["forecast"].take(rows, axis=0)
        return Forecast(both[:, 0].copy(), both[:, 1].copy())

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool) -> None:
        self._bank.learn(state, rows, times, values)

    def forecast(self, state: Columns, rows: Rows) -> None:
        origin = state["bank_clock"][rows, Clock.ORIGIN]
        loc = origin + best_expert(unpack(state, rows))
        state["forecast"][rows] = np.stack((loc, np.ones(len(rows))), axis=1)


class Forgiving(NoveltyMemory):
    """What was seen once is as good as seen often."""

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        found = super().distance(state, rows, times_B, numbers_B)
        return found._replace(established=found.any)


class OneDeviation(SidedMoments):
    """Both sides of the mean swing alike."""

    def side_deviation(self, state: Columns, rows: Rows, values_B: Float64) -> Float64:
        return np.full(len(rows), np.inf)


class NoFlatLine(FlatLine):
    """A value may stand still."""

    def surprise(self, state: Columns, rows: Rows, run_B: Float64) -> Float64:
        return np.zeros(len(rows))


class NothingLasts(NoRecurrence):
    """What lasts is worth no more than one sample, which is worth what it is to the product's scorer."""

    alone = Recurrence.alone
    is_outage = Recurrence.is_outage


class NoOutages(Recurrence):
    """What comes again is worth no alarm by itself, however far it is from the usual."""

    is_outage = NoRecurrence.is_outage


class OnePrice(Budget):
    """Overspending costs nothing."""

    def overspent(self, state: Columns, rows: Rows) -> Float64:
        return np.zeros(len(rows))


class _Experienced:
    """A part whose history is always long."""

    def __init__(self, part: Moments | NoveltyMemory) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def count(self, state: Columns, rows: Rows) -> Float64:
        return np.full(len(rows), LONG)

    def seen(self, state: Columns, rows: Rows) -> Float64:
        return np.full(len(rows), LONG)


class Trusting(Scorer):
    """A novelty counts as much after a hundred samples as after ten thousand."""

    def __init__(self) -> None:
        super().__init__()
        self._counted = self.views.moments
        moments, departures = _Experienced(self._counted), _Experienced(self.views.departures)
        self.views = replace(self.views, moments=cast(Any, moments), departures=cast(Any, departures))

    def warming(self, state: Columns, rows: Rows) -> Bool:
        return self._counted.count(state, rows) < self.settings.warmup_samples


class OwnTail(Scorer):
    """A stream's tail is what it showed itself; it begins with the pooled one, at the weight of one exceedance."""

    def __init__(self) -> None:
        super().__init__()
        self._pooled = self.tail
        pooled = (1.0 / self._pooled.rate, 1.0, self._pooled.mean_excess)
        names = ("tail_seen", "tail_exceeded", "tail_excess")
        self._shown = tuple(Field(name, initial=start) for name, start in zip(names, pooled, strict=True))
        self.fields += self._shown

    def score(self, state: Columns, rows: Rows, times: Float64, values: Float64, loc: Float64, scale: Float64) -> Score:
        seen_B, exceeded_B, excess_B = (state[field.name][rows].astype(np.float64) for field in self._shown)
        own = PooledTail(self._pooled.threshold, cast(Any, exceeded_B / seen_B), cast(Any, excess_B / exceeded_B))
        self.tail = own
        return super().score(state, rows, times, values, loc, scale)

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, score: Score) -> None:
        excess_B = np.where(score.warming, 0.0, np.maximum(score.novelty - self._pooled.threshold, 0.0))
        for field, shown_B in zip(self._shown, (~score.warming, excess_B > 0.0, excess_B), strict=True):
            state[field.name][rows] += shown_B
        super().learn(state, rows, times, values, score)


def without(**views: Any) -> Callable[[], Scorer]:
    """The product's scorer with views replaced by those that say nothing."""

    def make() -> Scorer:
        scorer = Scorer()
        scorer.views = replace(scorer.views, **views)
        return scorer

    return make


def unforgiving() -> Scorer:
    """Nothing is established: recurrences earn no credit."""
    scorer, memories = Scorer(), {"values": "value", "residuals": "residual", "departures": "departure"}
    forgiving: dict[str, Any] = {
        view: Forgiving(name, getattr(scorer.views, view).size) for view, name in memories.items()
    }
    scorer.views = replace(scorer.views, **forgiving)
    return scorer


def at_one_price() -> Scorer:
    """Overspending costs nothing."""
    scorer = Scorer()
    scorer.budget = OnePrice(scorer.settings.alerts_per_stream_week)
    return scorer


class _GroupWithout(GroupScorer):
    """Without one of its parts."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def _parts(self, state: Columns, groups: Rows, members: Members) -> Parts:
        return super()._parts(state, groups, members)._replace(**{self._part: np.zeros(len(groups))})


class Variant(NamedTuple):
    """A detector."""

    scorer: Callable[[], Scorer] = Scorer
    group: Callable[[], GroupScorer] = GroupScorer
    forecaster: str = "shipped"


WHOLE = "the whole detector"
PERSISTENCE = "network -> last value"
FORECASTERS: dict[str, Callable[[], Forecasts]] = {
    "shipped": Forecaster,
    "compact": partial(Forecaster, compact=True),
    "uncorrected": partial(Forecaster, readout=False),
    "best expert": BestExpert,
    "persistence": Persistence,
}
VARIANTS: dict[str, Variant] = {
    WHOLE: Variant(),
    PERSISTENCE: Variant(forecaster="persistence"),
    "network -> best of its bank": Variant(forecaster="best expert"),
    "without the read-out correction": Variant(forecaster="uncorrected"),
    "without the novelty of the value": Variant(without(values=NoMemory("value"))),
    "without the novelty of the residual": Variant(without(residuals=NoMemory("residual"))),
    "without credit for recurrence": Variant(unforgiving),
    "without more credit for what lasts": Variant(without(recurrence=NothingLasts())),
    "without an alarm for outages": Variant(without(recurrence=NoOutages())),
    "without the daily habit": Variant(without(habit=NoHabit())),
    "without calm": Variant(without(calm=NoCalm())),
    "without the flat line": Variant(without(flat=NoFlatLine())),
    "without a deviation for each side": Variant(without(moments=OneDeviation("value"))),
    "without trust by length of history": Variant(Trusting),
    "without the price of overspending": Variant(at_one_price),
    "pooled tail -> the stream's own": Variant(OwnTail),
    "the compact profile": Variant(partial(Scorer, compact=True), partial(GroupScorer, compact=True), "compact"),
    **{
        f"group without {part}": Variant(group=partial(_GroupWithout, part))
        for part in ("novelty", "size", "reach", "jump")
    },
}
