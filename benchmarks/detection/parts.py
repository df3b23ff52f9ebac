"""The detector without one of its parts, everything else equal.

Each class is the product's own part, silenced: it keeps its state and says nothing. B rows of one call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.detection.components import Forecasts, Persistence
from detector.columns import Bool, Columns, Field, Rows
from detector.models.forecaster import Forecaster
from detector.models.naive import Bank, Clock, best_expert, unpack
from detector.protocols import Forecast
from detector.records import Float64
from detector.scoring import GroupScorer, Scorer
from detector.scoring.budget import Budget
from detector.scoring.calm import Calm, Level
from detector.scoring.flatline import FlatLine
from detector.scoring.group import Members, Parts
from detector.scoring.season import DailyHabit, Departure
from detector.stats.moments import Moments
from detector.stats.novelty import Distance, NoveltyMemory


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


class Forgetful(NoveltyMemory):
    """Nothing is ever new."""

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        found = super().distance(state, rows, times_B, numbers_B)
        return found._replace(any=np.zeros(len(rows)), established=np.zeros(len(rows)))


class Forgiving(NoveltyMemory):
    """What was seen once is as good as seen often."""

    def distance(self, state: Columns, rows: Rows, times_B: Float64, numbers_B: Float64) -> Distance:
        found = super().distance(state, rows, times_B, numbers_B)
        return found._replace(established=found.any)


class NoHabit(DailyHabit):
    """No stream has a daily habit."""

    def departure(self, state: Columns, rows: Rows, times_B: Float64, values_B: Float64) -> Departure:
        found = super().departure(state, rows, times_B, values_B)
        return found._replace(is_open=np.zeros(len(rows), dtype=bool))


class NoCalm(Calm):
    """Calm is never news."""

    def level(self, state: Columns, rows: Rows, residual_B: Float64, deviation_B: Float64) -> Level:
        found = super().level(state, rows, residual_B, deviation_B)
        return found._replace(novelty=np.zeros(len(rows)))


class NoFlatLine(FlatLine):
    """A value may stand still."""

    def surprise(self, state: Columns, rows: Rows, run_B: Float64) -> Float64:
        return np.zeros(len(rows))


class OnePrice(Budget):
    """Overspending costs nothing."""

    def price(self, state: Columns, rows: Rows) -> Float64:
        return self.base(state, rows)


class Experienced(Moments):
    """A history that is always long."""

    def count(self, state: Columns, rows: Rows) -> Float64:
        return super().count(state, rows) + 1e9


class ExperiencedMemory(NoveltyMemory):
    """The same."""

    def seen(self, state: Columns, rows: Rows) -> Float64:
        return super().seen(state, rows) + 1e9


class Trusting(Scorer):
    """A novelty counts as much after a hundred samples as after ten thousand."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = self._moments
        self._moments = Experienced("value")
        self._departures = ExperiencedMemory("departure", self._departures.size)

    def warming(self, state: Columns, rows: Rows) -> Bool:
        return self._whole.count(state, rows) < self.settings.warmup_samples


def _without_values() -> Scorer:
    scorer = Scorer()
    scorer._values = Forgetful("value", scorer._values.size)
    return scorer


def _without_residuals() -> Scorer:
    scorer = Scorer()
    scorer._residuals = Forgetful("residual", scorer._residuals.size)
    return scorer


def _without_recurrence() -> Scorer:
    scorer = Scorer()
    scorer._values = Forgiving("value", scorer._values.size)
    scorer._residuals = Forgiving("residual", scorer._residuals.size)
    scorer._departures = Forgiving("departure", scorer._departures.size)
    return scorer


def _without_habit() -> Scorer:
    scorer = Scorer()
    scorer._habit = NoHabit()
    return scorer


def _without_calm() -> Scorer:
    scorer = Scorer()
    scorer._calm = NoCalm()
    return scorer


def _without_flat_line() -> Scorer:
    scorer = Scorer()
    scorer._flat = NoFlatLine()
    return scorer


def _without_price() -> Scorer:
    scorer = Scorer()
    scorer._budget = OnePrice(scorer.settings.alerts_per_stream_week)
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
    "uncorrected": lambda: Forecaster(readout=False),
    "best expert": BestExpert,
    "persistence": Persistence,
}
VARIANTS: dict[str, Variant] = {
    WHOLE: Variant(),
    "without the novelty of the value": Variant(_without_values),
    "without the novelty of the residual": Variant(_without_residuals),
    "without credit for recurrence": Variant(_without_recurrence),
    "without the daily habit": Variant(_without_habit),
    "without calm": Variant(_without_calm),
    "without the flat line": Variant(_without_flat_line),
    "without trust by length of history": Variant(Trusting),
    "without the price of overspending": Variant(_without_price),
    **{
        f"group without {part}": Variant(group=partial(_GroupWithout, part))
        for part in ("novelty", "size", "reach", "jump")
    },
    "without the read-out correction": Variant(forecaster="uncorrected"),
    "network -> best of its bank": Variant(forecaster="best expert"),
    PERSISTENCE: Variant(forecaster="persistence"),
}
