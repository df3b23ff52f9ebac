from __future__ import annotations

import numpy as np
import pytest
import torch

from detector.app import build_pipeline
from detector.config import Config
from detector.errors import ModelError
from detector.learning.versions import Versions, learnt, network, tensors_of
from detector.models.backbone import Backbone, Shape
from detector.models.forecaster import Forecaster
from detector.models.weights import Weights, load
from detector.protocols import LearntWeights
from detector.series import SeriesKey

A, B = ("metrics", 0), ("metrics", 1)


def versions() -> Versions:
    return Versions(build_pipeline(Config()), load(), Forecaster)


def changed(by: float) -> LearntWeights:
    backbone = network(tensors_of(load().backbone), load().backbone)
    with torch.no_grad():
        backbone.head.bias.add_(by)
    return learnt(tensors_of(backbone))


def test_version_takes_over_partition_by_partition_and_the_previous_one_is_kept() -> None:
    these = versions()
    one, two, three = changed(0.1), changed(0.2), changed(0.3)
    for weights in (one, two):
        these.propose(weights)
        these.use(A, these.upcoming(A))
    assert [weights.sha256 for weights in these.current(A)] == [two.sha256, one.sha256]
    assert these.current(B) == ()
    assert these.pipeline.model_of(A).name != these.pipeline.model_of(B).name == these.pipeline.model
    these.propose(three)
    assert these.upcoming(A) == (three, two)
    assert these.upcoming(B) == (three,)


def test_going_back_drops_later_versions_and_configured_weights_stay() -> None:
    these = versions()
    one, two = changed(0.1), changed(0.2)
    these.use(A, (two, one))
    these.propose(one)
    assert these.upcoming(A) == (one,)
    these.propose(these.rivals([A])[these.base.sha256])
    assert these.upcoming(A) == ()
    these.use(A, ())
    assert these.pipeline.model_of(A).forecaster is these.pipeline.forecaster
    assert these.rivals([A]).keys() == {these.base.sha256}


def test_unused_kernels_are_dropped() -> None:
    these = versions()
    for by in (0.1, 0.2, 0.3):
        these.propose(changed(by))
        these.use(A, these.upcoming(A))
    assert len(these._models) == 1
    these.use(A, ())
    these.forget(A)
    assert these.pipeline.models == {}


def test_forecaster_of_a_version_is_made_once_before_it_is_needed() -> None:
    made: list[str] = []

    def make(weights: Weights) -> Forecaster:
        made.append(weights.sha256)
        return Forecaster(weights)

    these, one = Versions(build_pipeline(Config()), load(), make), changed(0.1)
    these.propose(one)
    assert made == [one.sha256]
    these.forget(B)  # a rebalance before the next snapshot
    for partition in (A, B):
        these.use(partition, these.upcoming(partition))
    assert made == [one.sha256]


def test_partition_is_forecast_with_its_own_weights_and_keeps_its_state() -> None:
    these = versions()
    table = these.pipeline.table
    table.series(A).intern(SeriesKey.of("cpu"))
    rows = table.rows(A, np.array([0]), np.array([1.7e9]))
    forecaster = these.pipeline.model_of(A).forecaster
    for step in range(40):
        forecaster.learn(table.columns, rows, np.array([1.7e9 + 60 * step]), np.array([float(step % 5)]))
        forecaster.forecast(table.columns, rows)
    hidden = table.columns["hidden"][rows].copy()
    these.use(A, (changed(0.5),))
    new = these.pipeline.model_of(A).forecaster
    assert np.array_equal(table.columns["hidden"][rows], hidden)
    before = table.columns["forecast"][rows].copy()
    new.forecast(table.columns, rows)
    assert not np.array_equal(table.columns["forecast"][rows], before)


@pytest.mark.parametrize("what", ["bytes", "shape", "nan"])
def test_weights_of_another_shape_are_rejected(what: str) -> None:
    like = load().backbone
    wild = network(tensors_of(like), like)
    with torch.no_grad():
        wild.head.bias[0] = float("nan")
    tensors = {
        "bytes": b"nothing",
        "shape": tensors_of(Backbone(Shape("gru", 8, 1))),
        "nan": tensors_of(wild),
    }[what]
    these = versions()
    with pytest.raises(ModelError, match="learned weights"):
        these.propose(learnt(tensors))
    assert these.upcoming(A) == ()
