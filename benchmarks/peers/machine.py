"""Peers that score a whole machine, all metrics at once.

Those of TSB-AD learn from `train` and score `test`, with the package's tuned settings for series of many metrics; some
of them spread a window's score over all its rows, so they see up to a window ahead, which ours does not.

Shape legend: T rows of train and test together, M metrics.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch

from benchmarks.detection.layout import Machine
from benchmarks.detection.server import group_score
from benchmarks.peers import stream
from detector.records import Float64

MachinePeer = Callable[[Machine], Float64]
"""A machine to the scores of its test rows."""
SEED = 1


def by_metric(peer: Callable[[Float64], Float64]) -> MachinePeer:
    """The mean of the three largest of the metrics' scores; `peer` takes [T, M] to [T, M]."""

    def score(machine: Machine) -> Float64:
        return group_score(peer(machine.values.astype(np.float64))[machine.first_test_row :])

    return score


def each(peer: Callable[[Float64], Float64]) -> Callable[[Float64], Float64]:
    """A peer for one series at a time, for all columns."""
    return lambda values: np.stack([peer(column) for column in values.T], axis=1)


def by_row(peer: Callable[[Float64], Float64]) -> MachinePeer:
    """All metrics as one vector."""

    def score(machine: Machine) -> Float64:
        return peer(machine.values.astype(np.float64))[machine.first_test_row :]

    return score


def _without_tags(module: ModuleType) -> None:
    """Its estimators lack the tags by which newer versions of scikit-learn look whether they are fitted."""
    module.check_is_fitted = lambda *_: None  # type: ignore[attr-defined]


def principal_components(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models import PCA

    _without_tags(PCA)
    return np.asarray(PCA.PCA(slidingWindow=100, n_components=0.25).fit(train).decision_function(test))


def isolation_forest(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models import IForest

    _without_tags(IForest)
    model = IForest.IForest(slidingWindow=100, n_estimators=25, max_features=0.8, random_state=SEED)
    return np.asarray(model.fit(train).decision_function(test))


def k_means(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.KMeansAD import KMeansAD

    model = KMeansAD(k=10, window_size=40, stride=1)
    model.model.set_params(random_state=SEED, n_init=1)
    return np.asarray(model.fit(train).predict(test))


def lstm(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.LSTMAD import LSTMAD

    model = LSTMAD(window_size=150, lr=0.0008, feats=test.shape[1])
    model.fit(train)
    return np.asarray(model.decision_function(test))


def convolutions(train: Float64, test: Float64) -> Float64:
    from TSB_AD.models.CNN import CNN

    model = CNN(window_size=50, num_channel=[32, 32, 40], feats=test.shape[1])
    model.fit(train)
    return np.asarray(model.decision_function(test))


def learnt(peer: Callable[[Float64, Float64], Float64]) -> MachinePeer:
    """Learns from `train`, scores `test`; what the package prints is dropped."""

    def score(machine: Machine) -> Float64:
        torch.manual_seed(SEED)
        values = machine.values.astype(np.float64)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            scores = peer(values[: machine.first_test_row], values[machine.first_test_row :])
        return np.nan_to_num(scores.astype(np.float64).ravel())

    return score


MACHINE_PEERS: dict[str, MachinePeer] = {
    "novelty of the value, by metric": by_metric(stream.novelty_columns),
    "both novelties, by metric": by_metric(lambda values: stream.novelty_columns(values, steps=True)),
    "windowed Gaussian, by metric": by_metric(each(stream.windowed_gaussian)),
    "EWMA z-score, by metric": by_metric(each(stream.ewma_z)),
    "persistence residual, by metric": by_metric(each(stream.persistence)),
    "spectral residual, by metric": by_metric(each(stream.spectral_residual)),
    "river half-space trees": by_row(stream.half_space_trees),
    "rrcf": by_row(stream.random_cut_forest),
    "TSB-AD PCA": learnt(principal_components),
    "TSB-AD IForest": learnt(isolation_forest),
    "TSB-AD KMeansAD": learnt(k_means),
    "TSB-AD CNN": learnt(convolutions),
    "TSB-AD LSTMAD": learnt(lstm),
}
