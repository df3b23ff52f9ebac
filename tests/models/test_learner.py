"""Recording streams, learning from them, and the command that does both."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from detector.models.backbone import Backbone, Shape
from detector.models.features import FEATURE_NAMES
from detector.models.learner import Learner, Schedule, evaluate, likelihood
from detector.models.naive import EXPERTS
from detector.models.weights import load
from detector.models.windows import Float64, record
from detector.train import TrainOptions, curriculum, train

GAP = FEATURE_NAMES.index("gap")


def times(values: Float64, interval: float = 60.0) -> Float64:
    return np.broadcast_to(1.7e9 + interval * np.arange(values.shape[1]), values.shape)


def test_missing_samples_become_jumps_in_time():
    values = np.arange(40.0).reshape(2, 20)
    values[1, 10:14] = np.nan
    windows = record(times(values), values)
    assert windows.mask_TS.sum(0).tolist() == [19, 15]
    assert windows.inputs_TSF[10, 1, GAP] == pytest.approx(np.log(5))
    assert windows.inputs_TSF[10, 0, GAP] == 0


def test_targets_are_the_next_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50))
    windows = record(times(values), values)
    error = windows.target_TS[:-1] * 0 + torch.from_numpy(np.diff(values).T)
    unit = error / windows.target_TS[:-1]
    assert (unit > 0).all()


def test_stream_without_samples_has_no_weight():
    values = np.full((2, 10), np.nan)
    values[0] = 1.0
    windows = record(times(values), values)
    assert windows.mask_TS.sum(0).tolist() == [9, 0]
    assert torch.isfinite(windows.inputs_TSF).all()


def test_learning_lowers_the_loss_and_is_deterministic():
    windows = curriculum([5], 32, 256)

    def learnt() -> tuple[list[float], dict[str, float]]:
        torch.manual_seed(0)
        backbone = Backbone(Shape(hidden_size=8))
        learner = Learner(backbone, Schedule(updates=30, chunk=64, batch=32))
        losses = [loss for _ in range(8) for loss in learner.learn(windows, np.arange(32))]
        return losses, evaluate(backbone, windows)

    losses, found = learnt()
    again, _ = learnt()
    assert len(losses) == 30
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    assert losses == again
    assert all(np.isfinite(value) for value in found.values())


def test_masked_steps_are_not_learned_from():
    torch.manual_seed(0)
    windows = curriculum([6], 16, 64)
    windows.mask_TS.zero_()
    backbone = Backbone(Shape(hidden_size=4))
    before = backbone.head.weight.detach().clone()
    assert list(Learner(backbone, Schedule(1, weight_decay=0.0)).learn(windows, np.arange(16))) == [0.0]
    assert torch.equal(before, backbone.head.weight)


def test_loss_is_least_if_the_scale_equals_the_error():
    inputs = torch.zeros(1, len(FEATURE_NAMES))
    outputs = torch.zeros(41, EXPERTS + 2)
    outputs[:, -1] = torch.linspace(-2, 2, 41)
    loss, error = likelihood(outputs, inputs, torch.full((41,), float(np.e)))
    assert error[0] == pytest.approx(np.e)
    assert outputs[loss.argmin(), -1] == pytest.approx(1.0, abs=0.11)


def test_training_is_deterministic(tmp_path):
    seen = []
    sizes = TrainOptions(tmp_path / "a.safetensors", seed=3, updates=4, streams=16, steps=400, hidden_size=8)
    cards = [
        train(replace(sizes, output=tmp_path / f"{name}.safetensors"), lambda *at: seen.append(at))
        for name in ("a", "b")
    ]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert [at[1:3] for at in seen if at[0] == "learn"] == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2
    other = train(replace(sizes, output=tmp_path / "c.safetensors", seed=4))
    assert other["sha256"] != cards[0]["sha256"]
    assert load(tmp_path / "a.safetensors").sha256 == cards[0]["sha256"]
    assert json.loads((tmp_path / "a.json").read_text()) == cards[0]


def test_short_streams_and_gaps_beside_long_ones_change_nothing():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 200)).cumsum(axis=1)
    values[1, 60:] = np.nan
    values[2, 30:90] = np.nan
    together = record(times(values), values)
    alone = [
        record(times(values)[row : row + 1, kept], values[row : row + 1, kept])
        for row, kept in ((0, np.arange(200)), (1, np.arange(60)), (2, np.r_[:30, 90:200]))
    ]
    backbone = Backbone(Shape(hidden_size=4))
    seen = []
    for row, single in enumerate(alone):
        steps = len(single.inputs_TSF)
        assert torch.equal(together.inputs_TSF[:steps, row], single.inputs_TSF[:, 0])
        assert torch.equal(together.target_TS[: steps - 1, row], single.target_TS[:-1, 0])
        assert together.mask_TS[:, row].sum() == steps - 1
        outputs, _, _ = backbone.unroll(single.inputs_TSF, *backbone.initial(1))
        seen.append(likelihood(outputs, single.inputs_TSF, single.target_TS)[0][:-1].sum().detach())
    schedule = Schedule(1, chunk=1000, weight_decay=0.0)
    (loss,) = Learner(backbone, schedule).learn(together, np.arange(3))
    assert loss == pytest.approx(float(sum(seen)) / (199 + 59 + 139), rel=1e-4)
