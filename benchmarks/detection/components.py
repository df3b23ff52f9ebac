"""Scores straight from the components, many series as rows of one state: what `replay` computes, without files.

T rounds, B rows (series), R raw score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detector.backtest.series import Series
from detector.columns import Bool, Columns, Field, Rows, allocate, reset
from detector.models.forecaster import Forecaster
from detector.protocols import Forecast
from detector.records import Float64
from detector.scoring import Scorer, ScorerSettings


class Forecasts(Protocol):
    """The part of a forecaster that is used here."""

    fields: tuple[Field, ...]

    def stored(self, state: Columns, rows: Rows) -> Forecast: ...

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool) -> object: ...

    def forecast(self, state: Columns, rows: Rows) -> None: ...


class Persistence:
    """The next value is the last one; the scale follows the mean step. The forecaster to beat."""

    def __init__(self) -> None:
        self.fields: tuple[Field, ...] = (
            Field("last", dtype="float64", initial=float("nan")),
            Field("step", dtype="float64"),
        )

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        return Forecast(state["last"][rows], state["step"][rows])

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool) -> None:
        step = np.nan_to_num(np.abs(values - state["last"][rows]), nan=0.0)
        state["step"][rows] += 0.01 * (step - state["step"][rows])
        state["last"][rows] = values

    def forecast(self, state: Columns, rows: Rows) -> None:
        """Nothing to do: the last value is stored already."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What was said of every row of one series; all [T], NaN or 0 where there was no value."""

    anomaly_score: Float64
    novelty: Float64
    size: Float64
    expected: Float64
    lower: Float64
    upper: Float64
    reach: Float64


def is_compact(forecaster: Forecasts) -> bool:
    """Whether it is the product's, in its compact profile."""
    return isinstance(forecaster, Forecaster) and forecaster.compact


def scorer_of(forecaster: Forecasts, settings: ScorerSettings | None = None) -> Scorer:
    """The product's scorer, of the forecaster's own profile."""
    return Scorer(settings, compact=is_compact(forecaster))


def play(series: Sequence[tuple[Float64, Float64]], forecaster: Forecasts, scorer: Scorer | None = None) -> list[Trace]:
    """Play (times, values) of every series side by side; a NaN is a gap and is skipped.

    Without a scorer it is the product's, of the forecaster's own profile.
    """
    scorer = scorer or scorer_of(forecaster)
    state = allocate((*forecaster.fields, *scorer.fields), len(series))
    longest = max(len(times) for times, _ in series)
    times, values = np.full((2, longest, len(series)), np.nan)
    for row, (series_times, series_values) in enumerate(series):
        times[: len(series_times), row] = series_times
        values[: len(series_values), row] = series_values
    out = np.zeros((7, longest, len(series)), dtype=np.float32)
    out[3:6] = np.nan
    for round_times, round_values, said in zip(times, values, out.transpose(1, 0, 2), strict=True):
        _one_round(scorer, forecaster, state, round_times, round_values, said)
    return [Trace(*out[:, : len(series_times), row].astype(np.float64)) for row, (series_times, _) in enumerate(series)]


def _one_round(
    scorer: Scorer,
    forecaster: Forecasts,
    state: Columns,
    times: Float64,
    values: Float64,
    said: npt.NDArray[np.float32],
) -> None:
    """Score, learn, forecast the rows that have a value; writes [7, B] into `said`."""
    rows = np.flatnonzero(np.isfinite(values))
    if not len(rows):
        return
    times, values = times[rows], values[rows]
    restarted = rows[scorer.is_warmup_dominated(state, rows)]
    if len(restarted):
        reset(forecaster.fields, state, restarted)
        scorer.restart(state, restarted)
    forecast = forecaster.stored(state, rows)
    score = scorer.score(state, rows, times, values, forecast.loc, forecast.scale)
    scorer.learn(state, rows, times, values, score)
    forecaster.learn(state, rows, times, score.believed, score.anomaly_score > 1)
    forecaster.forecast(state, rows)
    band = (score.expected, score.lower, score.upper)
    said[:, rows] = np.stack((score.anomaly_score, score.novelty, score.size, *band, score.reach))


def play_collection(collection: Sequence[Series], forecaster: Forecasts, scorer: Scorer | None = None) -> list[Trace]:
    """One trace a series."""
    return play([(series.times, series.values) for series in collection], forecaster, scorer)
