"""Streams without a fault: the alarm rate that is reached, the coverage of the band, and the scores' own tail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.detection import synthetic
from benchmarks.detection.components import Forecasts, Trace, play_collection
from benchmarks.detection.server import EPISODE_END_ROWS, runs
from detector.backtest.series import Series

SEED = 11
STREAMS = 60
DAYS = {60.0: 8.0, 300.0: 28.0, 3600.0: 120.0}
"""Simulated days by sampling interval."""
ALERTS_PER_STREAM_WEEK = 0.1


def _after_first_day(series: Series) -> slice:
    step = series.times[1] - series.times[0]
    return slice(round(synthetic.DAY_SECONDS / step), None)


def episodes_per_week(collection: list[Series], traces: list[Trace], threshold: float, *, raw: bool = False) -> float:
    """Runs of scores above a threshold per stream and week, from the second day on."""
    count, weeks = 0, 0.0
    for series, trace in zip(collection, traces, strict=True):
        part = _after_first_day(series)
        scores = (trace.raw if raw else trace.anomaly_score)[part]
        count += len(runs(scores > threshold, EPISODE_END_ROWS))
        weeks += (series.times[-1] - series.times[part][0]) / (7 * synthetic.DAY_SECONDS)
    return count / weeks


def raw_threshold(collection: list[Series], traces: list[Trace], asked: float) -> float:
    """The raw score that is exceeded by as many episodes as asked; what the pooled tail is fitted to."""
    ladder = np.arange(0.2, 3.0, 0.02)
    rates = np.array([episodes_per_week(collection, traces, t, raw=True) for t in ladder])
    return float(ladder[np.argmax(rates <= asked)])


def coverage(collection: list[Series], traces: list[Trace]) -> float:
    """Share of values inside the band, from the second day on."""
    shares = []
    for series, trace in zip(collection, traces, strict=True):
        part = _after_first_day(series)
        values = series.values[part]
        shares.append(float(((values >= trace.lower[part]) & (values <= trace.upper[part])).mean()))
    return float(np.mean(shares))


def evaluate(make_forecaster: Callable[[], Forecasts]) -> dict[str, float]:
    """Rates per stream and week by sampling interval; `_raw_threshold` is where the raw score would meet the budget."""
    figures: dict[str, float] = {}
    for step, days in DAYS.items():
        collection = synthetic.quiet(SEED, STREAMS, days, step)
        traces = play_collection(collection, make_forecaster())
        name = f"{step:.0f}s"
        figures[f"{name}_alerts_per_stream_week"] = episodes_per_week(collection, traces, 1.0)
        figures[f"{name}_raw_threshold"] = raw_threshold(collection, traces, ALERTS_PER_STREAM_WEEK)
        figures[f"{name}_band_coverage"] = coverage(collection, traces)
    return figures
