"""A candidate takes over only where it is better, and the scenarios change in the middle."""

import copy

import numpy as np
import pytest
import torch

from benchmarks.continual.life import CONFIGURED, Life, measure
from benchmarks.continual.scenarios import SCENARIOS, scenario
from detector.learning.tuning import judged
from detector.models.backbone import Backbone, Shape
from detector.train.judge import panel

REMEMBERED = 64
ROUND = judged(REMEMBERED)


def test_scenarios_change_in_the_middle():
    values = {name: scenario(name, 1, 8, 200)[1] for name in SCENARIOS}
    for changed in values.values():
        np.testing.assert_array_equal(changed[:, :100], values["none"][:, :100])
    np.testing.assert_array_equal(values["level"][:, 100:], 2 * values["none"][:, 100:])
    np.testing.assert_array_equal(values["poison"][:, 160:], values["none"][:, 160:])
    assert (values["poison"] != values["none"])[:, 100:160].mean() == pytest.approx(0.5, abs=0.2)
    np.testing.assert_array_equal(values["period"][:, 100::2][:, :5], values["none"][:, 100::3][:, :5])


def test_only_a_better_candidate_takes_over():
    torch.manual_seed(0)
    windows = panel(*scenario("none", 1, 8, 32 * ROUND)).windows
    backbone = Backbone(Shape(hidden_size=4))
    idle = Life(copy.deepcopy(backbone), backbone.initial(8), learning_rate=0.0, remembered=REMEMBERED)
    idle.consider(windows, ROUND)
    assert (idle.asked, idle.taken) == (0, 0)
    idle.consider(windows, 2 * ROUND)
    assert (idle.asked, idle.taken) == (1, 0)
    assert idle.running[0] == CONFIGURED
    with torch.no_grad():
        backbone.head.bias[-1] += 2  # it thinks that its errors are far larger than they are
    eager = Life(copy.deepcopy(backbone), backbone.initial(8), learning_rate=1e-2, remembered=REMEMBERED)
    # Not at the beginning, where errors are large because the streams are new.
    eager.consider(windows, 28 * ROUND)
    assert (eager.asked, eager.taken) == (1, 1)
    assert not torch.equal(eager.running[1].head.bias, backbone.head.bias)


def test_weights_that_do_worse_than_those_before_are_taken_back():
    torch.manual_seed(0)
    windows = panel(*scenario("none", 1, 8, 3 * ROUND)).windows
    backbone = Backbone(Shape(hidden_size=4))
    worse = copy.deepcopy(backbone)
    with torch.no_grad():
        worse.head.bias[-1] += 4
    life = Life(backbone, backbone.initial(8), learning_rate=1e-6, remembered=REMEMBERED, chain=[("worse", worse)])
    life.consider(windows, 2 * ROUND)
    assert (life.reverted, life.running[0]) == (1, CONFIGURED)


def test_without_learning_nothing_differs():
    torch.manual_seed(0)
    found = measure(Backbone(Shape(hidden_size=4)), panel(*scenario("level", 1, 4, 14 * ROUND)), 0.0, REMEMBERED)
    assert [found[part] for part in ("before", "just after", "soon", "later")] == [1.0, 1.0, 1.0, 1.0]
