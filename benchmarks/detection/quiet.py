"""Streams without a fault: the alarm rate that is reached at each asked one, and the coverage of the band.

Four simulated weeks of 500 streams: light and heavy tails, sampled every minute, 5 minutes and hour in equal shares.
Rates are alerts per stream and week, counted in episodes from the second day on; standard errors are over streams.
Beside them, and in no total, streams whose noise has a power for a tail: there nothing but records is to be told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.detection import synthetic
from benchmarks.detection.components import Forecasts, Trace, play_collection, scorer_of
from benchmarks.detection.server import EPISODE_END_ROWS, runs
from detector.backtest.series import Series
from detector.records import Float64
from detector.scoring import ScorerSettings

SEED = 73
"""The pooled tail in `detector/scoring` was fitted to seed 72."""
STREAMS = 500
POWER_STREAMS = 48
DAYS = 28.0
ASKED = (0.05, 0.1, 0.5)
"""Budgets, in alerts per stream and week."""
WEEK_DAYS = 7.0


def episode_days(series: Series, scores: Float64) -> Float64:
    """When each run of scores above 1 begins, in days since the series began; none of the first day."""
    step = series.times[1] - series.times[0]
    first = round(synthetic.DAY_SECONDS / step)
    starts = runs(scores[first:] > 1.0, EPISODE_END_ROWS)[:, 0] + first
    return np.asarray(starts * step / synthetic.DAY_SECONDS)


def coverage(series: Series, trace: Trace) -> float:
    """Share of values inside the band, from the second day on."""
    later = series.times >= series.times[0] + synthetic.DAY_SECONDS
    values = series.values[later]
    return float(((values >= trace.lower[later]) & (values <= trace.upper[later])).mean())


def rates(collection: Sequence[Series], days: Sequence[Float64]) -> dict[str, float]:
    """Alerts per stream and week: of all, by interval and by week without power tails, and by kind of stream."""
    counts = np.array([len(starts) for starts in days])
    kinds = np.array([one.name.split("/")[0] for one in collection])
    steps = np.array([one.times[1] - one.times[0] for one in collection])
    counted = ~np.isin(kinds, list(synthetic.POWER_STREAMS))
    weeks = (DAYS - 1.0) / WEEK_DAYS
    figures = {
        "all": counts[counted].mean() / weeks,
        "standard error": counts[counted].std() / np.sqrt(counted.sum()) / weeks,
    }
    figures |= {f"{step:.0f} s": counts[counted & (steps == step)].mean() / weeks for step in np.unique(steps)}
    figures |= {str(kind): counts[kinds == kind].mean() / weeks for kind in np.unique(kinds)}
    moments = np.concatenate([starts for starts, is_counted in zip(days, counted, strict=True) if is_counted])
    for week in range(int(DAYS / WEEK_DAYS)):
        first, last = max(week * WEEK_DAYS, 1.0), (week + 1) * WEEK_DAYS
        inside = ((moments >= first) & (moments < last)).sum()
        figures[f"week {week + 1}"] = inside / counted.sum() * WEEK_DAYS / (last - first)
    return {name: float(figure) for name, figure in figures.items()}


def at_budget(lot: Sequence[Series], forecaster: Forecasts, asked: float) -> list[Trace]:
    """The scorer of the forecaster's own profile, at a budget of alerts per stream and week."""
    return play_collection(lot, forecaster, scorer_of(forecaster, ScorerSettings(asked)))


def evaluate(make_forecaster: Callable[[], Forecasts]) -> dict[str, float]:
    """Rates at each asked budget, and the band's coverage."""
    collection = synthetic.quiet(SEED, STREAMS, DAYS)
    collection += synthetic.quiet(SEED, POWER_STREAMS, DAYS, tuple(synthetic.POWER_STREAMS))
    lots = [
        [one for one in collection if one.times[1] - one.times[0] == step_seconds]
        for step_seconds in synthetic.QUIET_STEPS
    ]
    collection = [one for lot in lots for one in lot]
    figures: dict[str, float] = {}
    shares = []
    for asked in ASKED:
        days = []
        for lot in lots:
            traces = at_budget(lot, make_forecaster(), asked)
            days += [episode_days(one, trace.anomaly_score) for one, trace in zip(lot, traces, strict=True)]
            shares += [coverage(one, trace) for one, trace in zip(lot, traces, strict=True)]
        figures |= {f"asked {asked:g}: {name}": figure for name, figure in rates(collection, days).items()}
    return figures | {"band coverage": float(np.mean(shares))}
