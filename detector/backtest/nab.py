"""The Numenta Anomaly Benchmark's score (Lavin and Ahmad 2015, section II), at the best single threshold and at 1.

A window's earliest detection earns its scaled sigmoid; a missed window costs the miss weight; every detection outside
costs the false-positive weight, scaled by its distance from the window before. 100 is one detection at each window's
first row, 0 is none at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detector.backtest.series import Series
from detector.backtest.sweep import cumulate
from detector.records import Float64, Int64


class Profile(NamedTuple):
    """What a missed window and a false row cost; a true detection earns at most 1."""

    miss: float
    false: float


PROFILES = {"standard": Profile(1.0, 0.11), "low_fp": Profile(1.0, 0.22), "low_fn": Profile(2.0, 0.11)}


class Events(NamedTuple):
    """What a falling threshold adds, in any order: [E] score, [E] window reward, [E] false cost, [E] window found."""

    scores: Float64
    rewards: Float64
    costs: Float64
    found: Float64


def sigmoid(position: Float64) -> Float64:
    """2 / (1 + exp(5 y)) - 1: from +0.987 at a window's first row over 0 at its end down to -1."""
    return 2.0 / (1.0 + np.exp(5.0 * np.clip(position, -1.0, 3.0))) - 1.0


FULL_REWARD = float(sigmoid(np.array(-1.0)))


def probation(rows: int) -> int:
    """Rows at the beginning that do not count."""
    return int(min(0.15 * rows, 750))


def counted_windows(series: Series) -> Int64:
    """[W, 2] windows that do not end within the probation.

    One that begins there counts from the first row behind it. The benchmark's own data have none that overlap it.
    """
    return series.windows[series.windows[:, 1] >= probation(len(series.times))]


def window_rewards(scores: Float64) -> tuple[Int64, Float64]:
    """Rows of one window whose score exceeds all before them, and what lowering the threshold to each of them adds.

    At any threshold the earliest detection is such a row, so the additions telescope to its reward.
    """
    width = len(scores)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(scores)[:-1]])
    records = np.flatnonzero(scores > before)
    reward = sigmoid(-(width - records) / width) / FULL_REWARD
    return records, reward - np.append(reward[1:], 0.0)


def false_costs(rows: int, windows: Int64) -> Float64:
    """[T] positive cost of a detection at each row outside windows, 0 inside."""
    costs = np.ones(rows)
    for first, last in windows:
        behind = np.arange(last + 1, rows)
        position = (behind - last) / max(last - first, 1)
        costs[last + 1 :] = np.where(position > 3.0, 1.0, -sigmoid(position))
    for first, last in windows:
        costs[first : last + 1] = 0.0
    return costs


def events(series: Series, scores: Float64) -> Events:
    """Everything that detections in one series can earn or cost."""
    start = probation(len(scores))
    windows = counted_windows(series)
    costs = false_costs(len(scores), windows)
    costs[:start] = 0.0
    outside = np.flatnonzero(costs > 0.0)
    parts = [Events(scores[outside], np.zeros(len(outside)), costs[outside], np.zeros(len(outside)))]
    for first, last in windows:
        first = max(first, start)
        rows, rewards = window_rewards(scores[first : last + 1])
        found = np.zeros(len(rows))
        found[-1:] = 1.0
        parts.append(Events(scores[first + rows], rewards, np.zeros(len(rows)), found))
    return Events(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def evaluate(collection: Sequence[Series], scores: Sequence[Float64], own_threshold: float = 1.0) -> dict[str, float]:
    """Score of each profile at its best threshold and at the product's own (score > it); NaN if no window counts."""
    everything = Events(*(np.concatenate(c) for c in zip(*map(events, collection, scores), strict=True)))
    shown = everything.scores > 0.0  # a row that was not judged is no detection at any threshold
    total = sum(len(counted_windows(series)) for series in collection)
    figures: dict[str, float] = {}
    for name, profile in PROFILES.items():
        deltas = everything.rewards + profile.miss * everything.found - profile.false * everything.costs
        curve = cumulate(everything.scores[shown], deltas[shown])
        perfect = (1.0 + profile.miss) * total or np.nan
        best = int(np.argmax(curve.totals)) if len(curve.totals) else None
        figures[name] = 100.0 * (0.0 if best is None else max(float(curve.totals[best]), 0.0)) / perfect
        own = deltas[everything.scores > own_threshold].sum()
        figures[f"{name}_at_own_threshold"] = 100.0 * float(own) / perfect
        if name == "standard":
            figures["best_threshold"] = float("inf") if best is None else float(curve.thresholds[best])
    alarmed = everything.scores > own_threshold
    figures["windows"] = total
    figures["windows_found_at_own_threshold"] = float(everything.found[alarmed].sum())
    figures["false_rows_at_own_threshold"] = float((everything.costs[alarmed] > 0).sum())
    return figures
