"""Peers that score one series of values, from left to right: none sees anything after the row that it scores.

Constants are those of the papers or of the libraries' own examples, one setting for every series.

Shape legend: T rows of a series.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from detector.columns import allocate
from detector.records import Float64
from detector.scoring.views import NOISE_FLOOR
from detector.stats.novelty import NoveltyMemory

Peer = Callable[[Float64], Float64]
"""[T] finite values to [T] scores; larger is more anomalous."""
EWMA_RATE = 0.01
LEAST_DEVIATION = 1e-12
SPECTRAL_WINDOW = 64
SPECTRAL_MEAN = 3
SPECTRAL_AHEAD = 5
SALIENCY_MEAN = 21
PATTERN_ROWS = 32
ROW_SECONDS = 168.75
"""Rows come so often for the memories of novelty, which ask how long ago a value was first met."""
FOREST_TREES, FOREST_POINTS, FOREST_SHINGLE = 10, 128, 4


def novelty_columns(values: Float64, *, steps: bool = False) -> Float64:
    """[T, S] distance to the nearest of 64 remembered values over the deviation so far: one line, no model.

    With `steps` the same of the last difference is added: the two novelties that a detector with a model has to beat.
    """
    memory, differences = NoveltyMemory("value"), NoveltyMemory("step")
    state = allocate((*memory.fields, *differences.fields), values.shape[1])
    rows, scores = np.arange(values.shape[1]), np.zeros(values.shape)
    for at, (value, deviation) in enumerate(zip(values, _deviations_before(values), strict=True)):
        times = np.full(len(rows), at * ROW_SECONDS)
        near = memory.distance(state, rows, times, value)
        scores[at] = near.any / deviation
        memory.update(state, rows, times, value, near)
        if steps:
            step = value - values[max(at - 1, 0)]
            near = differences.distance(state, rows, times, step)
            scores[at] += near.any / deviation
            differences.update(state, rows, times, step, near)
    return scores


def _deviations_before(values: Float64) -> Float64:
    """[T, S] standard deviation of all rows before each, floored by their mean."""
    away = values - values[0]
    count = np.maximum(np.arange(len(values)), 1)[:, None]
    mean, squares = (
        np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(part, axis=0)[:-1])) / count
        for part in (away, away * away)
    )
    return _floored(np.sqrt(np.maximum(squares - mean * mean, 0.0)), values[0] + mean)


def novelty(values: Float64) -> Float64:
    """`novelty_columns` of one series."""
    return novelty_columns(values[:, None])[:, 0]


def novelties(values: Float64) -> Float64:
    """The same with the novelty of the last difference."""
    return novelty_columns(values[:, None], steps=True)[:, 0]


def windowed_gaussian(values: Float64, window: int = 1000, least: float = LEAST_DEVIATION) -> Float64:
    """|z| of the value in the window of rows before it; `least` is the smallest deviation."""
    total, squares = (np.concatenate(([0.0], np.cumsum(part))) for part in (values, values * values))
    at = np.arange(len(values))
    first = np.maximum(at - window, 0)
    count = np.maximum(at - first, 1)
    mean = (total[at] - total[first]) / count
    variance = np.maximum((squares[at] - squares[first]) / count - mean * mean, 0.0)
    return np.where(at > 1, np.abs(values - mean) / _floored(np.sqrt(variance), mean, least), 0.0)


def _floored(deviation: Float64, level: Float64, least: float = LEAST_DEVIATION) -> Float64:
    """A series without noise must not explode."""
    return np.maximum(np.maximum(deviation, NOISE_FLOOR * np.abs(level)), least)


def _before(values: Float64, rate: float) -> Float64:
    """[T] exponential mean of the rows before each."""
    means, _ = lfilter([rate], [1, rate - 1], values, zi=[(1 - rate) * values[0]])
    return np.concatenate((values[:1], np.asarray(means)[:-1]))


def ewma_z(values: Float64, least: float = LEAST_DEVIATION) -> Float64:
    """|z| of the value by exponential mean and variance."""
    mean = _before(values, EWMA_RATE)
    variance = _before((values - mean) ** 2, EWMA_RATE)
    return np.abs(values - mean) / _floored(np.sqrt(variance), mean, least)


def persistence(values: Float64, least: float = LEAST_DEVIATION) -> Float64:
    """|last difference| by its exponential deviation."""
    step = np.diff(values, prepend=values[:1])
    return np.abs(step) / _floored(np.sqrt(_before(step * step, EWMA_RATE)), values, least)


def spectral_residual(values: Float64) -> Float64:
    """Saliency of the newest value (Ren et al. 2019, 'Time-Series Anomaly Detection Service at Microsoft').

    A window of 64 rows, continued by five copies of the value that the mean gradient leads to.
    """
    scores = np.zeros(len(values))
    if len(values) < SPECTRAL_WINDOW:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(values, SPECTRAL_WINDOW)
    behind = np.arange(1, SPECTRAL_AHEAD + 1)
    # From the value before the newest one, as its authors' code has it: otherwise a spike extrapolates itself away.
    slope = ((windows[:, -2:-1] - windows[:, -2 - behind]) / behind).mean(axis=1)
    ahead = windows[:, -1 - SPECTRAL_AHEAD] + slope * SPECTRAL_AHEAD
    whole = np.concatenate((windows, np.repeat(ahead[:, None], SPECTRAL_AHEAD, axis=1)), axis=1)
    spectrum = np.fft.fft(whole, axis=1)
    size = np.abs(spectrum)
    log = np.log(np.maximum(size, 1e-8))
    residual = np.exp(log - _trailing_mean(log, SPECTRAL_MEAN))
    saliency = np.abs(np.fft.ifft(spectrum * (residual / np.maximum(size, 1e-8)), axis=1))[:, :SPECTRAL_WINDOW]
    mean = _trailing_mean(saliency, SALIENCY_MEAN)[:, -1]
    scores[SPECTRAL_WINDOW - 1 :] = (saliency[:, -1] - mean) / np.maximum(mean, 1e-8)
    return scores


def _trailing_mean(rows: Float64, width: int) -> Float64:
    """[R, T] mean of each entry and up to `width` - 1 before it."""
    total = np.cumsum(rows, axis=1)
    total[:, width:] -= total[:, :-width].copy()
    return total / np.minimum(np.arange(1, rows.shape[1] + 1), width)


def predictive(values: Float64) -> Float64:
    """River's PredictiveAnomalyDetection with its own defaults."""
    from river import anomaly

    model = anomaly.PredictiveAnomalyDetection()
    scores = np.zeros(len(values))
    for row, value in enumerate(values.tolist()):
        # Where its regression leaves the range of numbers it has no opinion any more.
        score = model.score_one({}, value)
        scores[row] = score if math.isfinite(score) else 0.0
        model.learn_one({}, value)
    return scores


def half_space_trees(rows: Float64) -> Float64:
    """River's half-space trees behind a running min-max scaler, as its documentation uses them; [T] or [T, M]."""
    from river import anomaly, preprocessing

    model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
    scores = np.zeros(len(rows))
    for row, values in enumerate(np.atleast_2d(rows.T).T.tolist()):
        features = dict(enumerate(values))
        scores[row] = model.score_one(features)
        model.learn_one(features)
    return scores


def random_cut_forest(rows: Float64) -> Float64:
    """Collusive displacement in a robust random cut forest (Guha et al. 2016; package rrcf); [T] or [T, M].

    Rows are shingled four at a time, as the package's streaming example does; a smaller forest, for it is slow.
    """
    import rrcf

    if len(rows) < FOREST_SHINGLE:
        return np.zeros(len(rows))
    points = np.lib.stride_tricks.sliding_window_view(np.atleast_2d(rows.T).T, FOREST_SHINGLE, axis=0)
    points = points.reshape(len(points), -1)
    forest = [rrcf.RCTree(random_state=seed) for seed in range(FOREST_TREES)]
    scores = np.zeros(len(rows))
    for at, point in enumerate(points):
        for tree in forest:
            if at >= FOREST_POINTS:
                tree.forget_point(at - FOREST_POINTS)
            tree.insert_point(point, index=at)
            scores[at + FOREST_SHINGLE - 1] += tree.codisp(at)
    return scores


def matrix_profile(values: Float64) -> Float64:
    """Distance of the newest 32 rows from the nearest 32 rows before them: stumpy's left matrix profile."""
    import stumpy

    scores = np.zeros(len(values))
    if len(values) < 3 * PATTERN_ROWS:
        return scores
    profile = stumpy.stump(values, m=PATTERN_ROWS)
    left = profile[:, 2].astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(values, PATTERN_ROWS)
    deviation = windows.std(axis=1, keepdims=True)
    shapes = (windows - windows.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1.0)
    distance = np.linalg.norm(shapes - shapes[np.maximum(left, 0)], axis=1)
    scores[PATTERN_ROWS - 1 :] = np.where(left >= 0, distance, 0.0)
    return scores


PEERS: dict[str, Peer] = {
    "one line: novelty of the value": novelty,
    "novelty of value + of last difference": novelties,
    "windowed Gaussian, 1,000 rows": windowed_gaussian,
    "EWMA z-score": ewma_z,
    "persistence residual": persistence,
    "spectral residual": spectral_residual,
    "river PredictiveAnomalyDetection": predictive,
    "river half-space trees": half_space_trees,
    "rrcf": random_cut_forest,
    "stumpy, left matrix profile": matrix_profile,
}
"""For a single series."""
