from __future__ import annotations

import numpy as np
import pytest
import torch

from detector.learning.buffer import WIDTH
from detector.learning.tuning import CANDIDATE, beats, consider, judged, losses_of, tune, windows_of
from detector.models.windows import Windows, record
from tests.learning.fleet import START, untrained, values

pytestmark = pytest.mark.timeout(400)  # on a busy machine

RATE = 1e-2


def windows(streams: int = 12, steps: int = 160, seed: int = 0) -> Windows:
    wave_ST = values(streams, steps, seed)
    return record(np.broadcast_to(START + 60.0 * np.arange(steps), wave_ST.shape), wave_ST)


def test_a_bad_network_is_beaten_by_what_it_learns_and_a_copy_of_itself_is_not() -> None:
    bad = untrained(log_scale=2.0).backbone
    verdict = consider({"bad": bad, "twin": bad}, ["bad"] * 12, windows(), RATE)
    assert verdict.chosen == CANDIDATE
    assert verdict.loss[CANDIDATE] < verdict.loss["running"] == verdict.loss["bad"] == verdict.loss["twin"]


def test_a_candidate_that_learnt_something_else_is_rejected() -> None:
    trained, seen = untrained().backbone, windows()
    for _ in range(3):
        trained = tune(trained, seen, 3 * RATE, lambda: None)
    broken = Windows(seen.inputs_TSF, seen.target_TS.clone(), seen.mask_TS, seen.unit_TS)
    broken.target_TS[: -judged(160) - 1] *= -40.0  # the past teaches the opposite of what comes
    verdict = consider({"now": trained}, ["now"] * 12, broken, RATE)
    assert verdict.chosen is None
    assert verdict.loss[CANDIDATE] > verdict.loss["running"]


def test_weights_of_before_come_back_where_the_running_ones_do_worse() -> None:
    before, seen = untrained().backbone, windows()
    for _ in range(2):
        before = tune(before, seen, RATE, lambda: None)
    verdict = consider({"before": before, "worse": untrained(log_scale=4.0).backbone}, ["worse"] * 12, seen, 1e-5)
    assert verdict.chosen == "before"


def test_the_judged_samples_are_not_learnt_from() -> None:
    seen = windows()
    other = Windows(seen.inputs_TSF.clone(), seen.target_TS.clone(), seen.mask_TS, seen.unit_TS)
    other.inputs_TSF[-judged(160) :] = 0
    other.target_TS[-judged(160) - 1 :] = 7
    one, two = (tune(untrained().backbone, part, RATE, lambda: None) for part in (seen, other))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, two.state_dict()[name], rtol=0, atol=0)
    assert not np.array_equal(losses_of(one, seen), losses_of(one, other))


def test_learning_is_the_same_every_time_and_leaves_its_origin_alone() -> None:
    origin = untrained().backbone
    before = {name: tensor.clone() for name, tensor in origin.state_dict().items()}
    one, two = (tune(origin, windows(), RATE, lambda: None).state_dict() for _ in range(2))
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name])
        assert torch.equal(origin.state_dict()[name], before[name])


def test_streams_with_other_weights_are_compared_with_their_own() -> None:
    good, bad = untrained(1).backbone, untrained(2, log_scale=3.0).backbone
    seen = windows()
    running = ["good"] * 9 + ["bad"] * 3
    verdict = consider({"good": good, "bad": bad}, running, seen, RATE)
    mine = np.where(np.array(running) == "good", losses_of(good, seen), losses_of(bad, seen))
    assert verdict.loss["running"] == mine.mean()


def test_chance_does_not_change_weights() -> None:
    rng = np.random.default_rng(0)
    running_S = rng.normal(size=200)
    assert beats(running_S - 0.1, running_S)
    assert not beats(running_S + rng.normal(size=200) * 0.5 + 0.05, running_S)
    assert not beats(running_S, running_S)
    assert not beats(np.full(3, np.nan), np.ones(3))


def test_short_streams_are_masked_where_they_have_nothing() -> None:
    long, short = np.ones((40, WIDTH), np.float32), np.ones((10, WIDTH), np.float32)
    seen = windows_of([long, short], 40)
    assert seen.mask_TS.sum(0).tolist() == [39, 9]
    assert seen.mask_TS[:30, 1].sum() == 0
    assert torch.isfinite(seen.inputs_TSF).all()
