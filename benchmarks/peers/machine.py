"""Peers that score a whole machine, all metrics at once. None sees anything after the row that it scores.

Those that stream play `train` and then `test`, as the detector does. Those of TSB-AD learn from `train` only and score
`test`, with the package's tuned settings for series of many metrics; the score of a window stands at its last row (the
package itself centres or spreads it, which shows a row up to 99 rows of its future).

Shape legend: T rows of train and test together, M metrics, W rows of a window.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch

from benchmarks.detection.machine_files import Machine
from benchmarks.detection.server import group_score
from benchmarks.peers import stream
from detector.records import Float64

MachinePeer = Callable[[Machine], Float64]
"""A machine to the scores of its test rows."""
SEED = 1
WINDOW = 100
AHEAD = (WINDOW - 1) // 2
"""Rows behind a row that the package's own scores of windows of 100 show it."""
CLUSTERS, CLUSTER_WINDOW = 10, 40
LEAST_SHARE = 0.03
"""Least deviation of a metric for z-scores, where all metrics come scaled to [0, 1]: idle ones would explode."""


def without_gaps(machine: Machine) -> Float64:
    """[T, M] values; a gap repeats the value before it, as these peers know none. Before the first value it is that."""
    values = machine.values.astype(np.float64)
    there = np.isfinite(values)
    latest = np.maximum.accumulate(np.where(there, np.arange(len(values))[:, None], there.argmax(axis=0)), axis=0)
    return np.where(there.any(axis=0), np.take_along_axis(values, latest, axis=0), 0.0)


def by_metric(peer: Callable[[Float64], Float64]) -> MachinePeer:
    """The mean of the three largest of the metrics' scores; `peer` takes [T, M] to [T, M]."""

    def score(machine: Machine) -> Float64:
        return group_score(peer(without_gaps(machine))[machine.first_test_row :])

    return score


def each(peer: Callable[[Float64], Float64]) -> Callable[[Float64], Float64]:
    """A peer for one series at a time, for all columns."""
    return lambda values: np.stack([peer(column) for column in values.T], axis=1)


def by_row(peer: Callable[[Float64], Float64], memory_rows: int | None = None) -> MachinePeer:
    """All metrics as one vector; a peer that remembers no more than some rows needs no more of `train`."""

    def score(machine: Machine) -> Float64:
        first = 0 if memory_rows is None else max(machine.first_test_row - memory_rows, 0)
        return peer(without_gaps(machine)[first:])[machine.first_test_row - first :]

    return score


def at_last_row(scores: Float64, ahead: int) -> Float64:
    """[T] scores that saw `ahead` rows of their future, moved to where that is the past; the first ones repeat."""
    return np.concatenate((np.repeat(scores[:1], ahead), scores[: len(scores) - ahead]))


def _without_tags(module: ModuleType) -> None:
    """Its estimators lack the tags by which newer versions of scikit-learn look whether they are fitted."""
    module.check_is_fitted = lambda *_: None  # type: ignore[attr-defined]


def _with_old_names() -> None:
    """Its networks call infinity by a name that numpy 2 has dropped."""
    np.Inf = np.inf  # type: ignore[attr-defined]


def principal_components(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models import PCA

    _without_tags(PCA)
    # Its own pruning of constant columns fails where it scores. By the covariance, the same components take a third of
    # the time.
    moving = train.std(axis=0) > 0.0
    model = PCA.PCA(slidingWindow=WINDOW, n_components=0.25, svd_solver="covariance_eigh", zero_pruning=False)
    model.fit(train[:, moving])
    return at_last_row(np.asarray(model.decision_function(test[:, moving])), AHEAD)


def isolation_forest(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models import IForest

    _without_tags(IForest)
    model = IForest.IForest(slidingWindow=WINDOW, n_estimators=25, max_features=0.8, random_state=SEED)
    return at_last_row(np.asarray(model.fit(train).decision_function(test)), AHEAD)


def k_means(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.KMeansAD import KMeansAD

    model = KMeansAD(k=CLUSTERS, window_size=CLUSTER_WINDOW, stride=1)
    model.model.set_params(random_state=SEED, n_init=1)
    model.fit(train)
    # Its `predict` spreads a window's distance over all of its rows; this is the distance itself, at the last one.
    windows = model._preprocess_data(test)
    distances = model.model.transform(windows).min(axis=1)
    return np.concatenate((np.repeat(distances[:1], CLUSTER_WINDOW - 1), distances))


def lstm(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.LSTMAD import LSTMAD

    _with_old_names()
    model = LSTMAD(window_size=150, lr=0.0008, feats=test.shape[1])
    model.fit(train)
    return np.asarray(model.decision_function(test))


def convolutions(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.CNN import CNN

    _with_old_names()
    model = CNN(window_size=50, num_channel=[32, 32, 40], feats=test.shape[1])
    model.fit(train)
    return np.asarray(model.decision_function(test))


def learnt(peer: Callable[[Float64, Float64], Float64]) -> MachinePeer:
    """Learns from `train`, scores `test`; what the package prints is dropped."""

    def score(machine: Machine) -> Float64:
        torch.manual_seed(SEED)
        values = without_gaps(machine)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            scores = peer(values[: machine.first_test_row], values[machine.first_test_row :])
        return scores.astype(np.float64).ravel()

    return score


MACHINE_PEERS: dict[str, MachinePeer] = {
    "novelty of the value, by metric": by_metric(stream.novelty_columns),
    "both novelties, by metric": by_metric(lambda values: stream.novelty_columns(values, steps=True)),
    "windowed Gaussian, by metric": by_metric(each(partial(stream.windowed_gaussian, least=LEAST_SHARE))),
    "EWMA z-score, by metric": by_metric(each(partial(stream.ewma_z, least=LEAST_SHARE))),
    "persistence residual, by metric": by_metric(each(partial(stream.persistence, least=LEAST_SHARE))),
    "spectral residual, by metric": by_metric(each(stream.spectral_residual)),
    "river PredictiveAnomalyDetection, by metric": by_metric(each(stream.predictive)),
    "stumpy, left matrix profile, by metric": by_metric(each(stream.matrix_profile)),
    "river half-space trees": by_row(stream.half_space_trees),
    "rrcf": by_row(stream.random_cut_forest, memory_rows=4 * stream.FOREST_POINTS),
    "TSB-AD PCA": learnt(principal_components),
    "TSB-AD IForest": learnt(isolation_forest),
    "TSB-AD KMeansAD": learnt(k_means),
    "TSB-AD CNN": learnt(convolutions),
    "TSB-AD LSTMAD": learnt(lstm),
}
