"""Corrections learn what is there to learn, and nothing from a spike or from what is missing."""

import numpy as np
import pytest
import torch

from benchmarks.readout.__main__ import KINDS, make, measure
from benchmarks.readout.correct import run
from detector.models.backbone import Backbone, Shape
from detector.train.judge import panel

STEPS, STREAMS, SIZE = 600, 3, 4


def traces(kind: str, predictable: float, spike: float = 0.0) -> tuple[float, float]:
    """Error left over the error without a correction, over the second half: (always on, chosen)."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(STEPS, STREAMS, SIZE))
    error = predictable * z.sum(-1) + rng.laplace(size=(STEPS, STREAMS))
    error[STEPS // 2] += spike
    made = run(make(kind, STREAMS, SIZE), z, error, np.ones((STEPS, STREAMS)))
    late = slice(STEPS // 2 + 1, None)
    before = np.abs(error[late]).mean()
    return float(made.always_TS[late].mean() / before), float(made.chosen_TS[late].mean() / before)


@pytest.mark.parametrize("kind", ["nlms 0.03", "nlms 0.1", "rls 0.9999"])
def test_a_predictable_error_is_corrected(kind):
    always, chosen = traces(kind, predictable=0.7)
    assert always < 0.85
    assert chosen == pytest.approx(always, rel=0.02)


@pytest.mark.parametrize("kind", ["nlms 0.03", "rls 0.9999"])
def test_noise_is_left_alone_and_a_spike_teaches_nothing(kind):
    always, chosen = traces(kind, predictable=0.0)
    assert always < 1.03
    assert chosen < 1.01
    assert traces(kind, predictable=0.0, spike=1e9)[0] == pytest.approx(always, abs=0.01)


def test_missing_steps_teach_nothing():
    rng = np.random.default_rng(0)
    z, error = rng.normal(size=(50, STREAMS, SIZE)), rng.normal(size=(50, STREAMS))
    for kind in KINDS:
        correction = make(kind, STREAMS, SIZE)
        run(correction, z, error, np.zeros((50, STREAMS)))
        assert not correction.predict(z[0]).any()


def test_every_kind_is_measured():
    torch.manual_seed(0)
    times = np.broadcast_to(1.7e9 + 60 * np.arange(150.0), (4, 150))
    values = np.random.default_rng(0).normal(size=(4, 150))
    found = measure(Backbone(Shape(hidden_size=4, num_layers=2)), panel(times, values))
    assert found.keys() == set(KINDS)
    assert all(np.isfinite(list(one.values())).all() for one in found.values())
