"""Every correction of the benchmark learns predictable errors, and nothing from spikes or missing steps."""

import numpy as np
import pytest
import torch

from benchmarks.readout.__main__ import KINDS, measure
from detector.models.backbone import Backbone, Shape
from detector.train.judge import panel

STEPS, STREAMS, SIZE = 600, 3, 4
LINEAR = [kind for kind in KINDS if not kind.startswith("constant") and not kind.endswith("0.01")]


def left(kind: str, predictable: float, spike: float = 0.0) -> float:
    """Error left over the error without a correction, over the second half."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(STEPS, STREAMS, SIZE))
    z[..., -1] = 1
    error = predictable * z.sum(-1) + rng.laplace(size=(STEPS, STREAMS))
    error[STEPS // 2] += spike
    correct, rate = KINDS[kind]
    late = slice(STEPS // 2 + 1, None)
    made = correct(z, error, np.ones((STEPS, STREAMS)), rate)
    return float(made[late].mean() / np.abs(error[late]).mean())


@pytest.mark.parametrize("kind", LINEAR)
def test_predictable_error_is_corrected(kind):
    assert left(kind, predictable=0.7) < 0.9


@pytest.mark.parametrize("kind", LINEAR)
def test_noise_and_spikes_are_not_learned(kind):
    assert left(kind, predictable=0.0) < 1.01
    assert left(kind, predictable=0.0, spike=1e9) == pytest.approx(left(kind, predictable=0.0), abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_steps_are_not_learned_from(kind):
    rng = np.random.default_rng(0)
    z, error = rng.normal(size=(50, STREAMS, SIZE)), rng.normal(size=(50, STREAMS))
    correct, rate = KINDS[kind]
    np.testing.assert_allclose(correct(z, error, np.zeros((50, STREAMS)), rate), np.abs(error), rtol=1e-6)


def test_every_kind_is_measured():
    torch.manual_seed(0)
    times = np.broadcast_to(1.7e9 + 60 * np.arange(150.0), (4, 150))
    values = np.random.default_rng(0).normal(size=(4, 150))
    found = measure(Backbone(Shape(hidden_size=4, num_layers=2)), panel(times, values))
    assert found.keys() == KINDS.keys()
    assert all(np.isfinite(list(one.values())).all() for one in found.values())
