"""A candidate takes over only where it is better, scenarios change in the middle, and figures say what happened."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.continual.figures import WINDOW, nothing, ratios, recovery
from benchmarks.continual.life import CONFIGURED, Life
from benchmarks.continual.scenarios import CHANGES, FLEETS, scenario
from detector.learning.buffer import Buffer
from detector.learning.tuning import judged
from tests.learning.fleet import untrained

pytestmark = pytest.mark.usefixtures("one_thread")

STREAMS, REMEMBERED = 8, 128
ROUND = judged(REMEMBERED)
FIRST = REMEMBERED // 2


@pytest.mark.parametrize("fleet", FLEETS)
def test_scenarios_change_in_the_middle(fleet: str) -> None:
    values = {change: scenario(fleet, change, 1, STREAMS, 400)[1] for change in CHANGES}
    for changed in values.values():
        np.testing.assert_allclose(changed[:, :200], values["none"][:, :200], rtol=1e-6)
    np.testing.assert_array_equal(values["level"][:, 200:], 2 * values["none"][:, 200:])
    hit = values["poison"] != values["none"]
    assert hit.sum() == pytest.approx(0.5 * STREAMS * 60, rel=0.2)
    assert np.ptp(np.flatnonzero(hit.any(axis=0))) < 60
    assert not np.allclose(values["period"][:, 200:], values["none"][:, 200:], rtol=0.01)


def lived(learning_rate: float, log_scale: float = 0.0) -> tuple[Life, np.ndarray]:
    life = Life(untrained(log_scale=log_scale), STREAMS, Buffer(STREAMS, REMEMBERED), learning_rate)
    return life, life.live(*scenario("cycles", "none", 1, STREAMS, FIRST + 6 * ROUND))


def test_only_a_better_candidate_takes_over() -> None:
    idle, same = lived(0.0)
    assert (idle.asked, idle.taken, idle.running[0]) == (7, 0, CONFIGURED)
    off = Life(untrained(), STREAMS)
    np.testing.assert_array_equal(off.live(*scenario("cycles", "none", 1, STREAMS, FIRST + 6 * ROUND)), same)
    eager, other = lived(1e-2, log_scale=2.0)  # its scale is far larger than its errors
    assert eager.taken > 0
    assert eager.running[0] != CONFIGURED
    assert not np.array_equal(other, same)


def test_worse_weights_are_rolled_back() -> None:
    life = Life(untrained(), STREAMS, Buffer(STREAMS, REMEMBERED), 1e-7)
    worse = copy.deepcopy(untrained().backbone)
    with torch.no_grad():
        worse.head.bias[-2] += 4  # of the correction: every forecast is four errors too high
    life.use([("worse", worse)])
    life.live(*scenario("cycles", "none", 1, STREAMS, FIRST))
    assert (life.reverted, life.running[0]) == (1, CONFIGURED)


def test_state_is_kept_with_other_weights_and_missing_samples_are_not_judged() -> None:
    times_ST, values_ST = scenario("cycles", "none", 1, STREAMS, 80)
    values_ST[0, 30:40] = np.nan
    weights = untrained()
    whole, halves = Life(weights, STREAMS), Life(weights, STREAMS)
    error_ST = whole.live(times_ST, values_ST)
    first_ST = halves.live(times_ST[:, :50], values_ST[:, :50])
    halves.use([("a copy", copy.deepcopy(weights.backbone))])
    both_ST = np.concatenate((first_ST, halves.live(times_ST[:, 50:], values_ST[:, 50:])), axis=1)
    np.testing.assert_array_equal(both_ST, error_ST)
    assert np.isnan(error_ST[0, 30:40]).all()
    assert np.isnan(error_ST).sum() == STREAMS + 10
    other = Life(replace(weights, backbone=untrained(2).backbone), STREAMS)
    assert not np.array_equal(other.live(times_ST, values_ST), error_ST)


def test_recovery_time_is_when_the_running_error_is_back() -> None:
    error_ST = np.full((2, 600), 3.0)
    error_ST[:, 200:300] = 9.0
    error_ST[0, 500] = np.nan
    floor_S, mark_S = nothing(error_ST), np.full(2, 3.0)
    assert recovery(error_ST, mark_S, floor_S, 200) == pytest.approx(100 + 0.975 * WINDOW, abs=1)
    assert recovery(error_ST, mark_S, floor_S, 300) == WINDOW
    assert recovery(error_ST, mark_S / 2, floor_S, 200) == 400
    found = ratios(error_ST, 2 * error_ST, floor_S, {"all": slice(None), "one": slice(500, 501)})
    assert found == pytest.approx({"all": 0.5, "one": 0.5}, rel=1e-4)
