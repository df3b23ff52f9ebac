from __future__ import annotations

import numpy as np
import torch

from detector.learning.buffer import WIDTH
from detector.learning.tuning import (
    CANDIDATE,
    MOST_REHEARSED,
    Record,
    beats,
    consider,
    judged,
    record_of,
    rehearsal,
    tune,
    windows_of,
)
from detector.models.learner import likelihood
from detector.models.windows import Windows, record
from tests.learning.fleet import START, untrained, values

RATE = 1e-2


def windows(streams: int = 12, steps: int = 160, seed: int = 0) -> Windows:
    wave_ST = values(streams, steps, seed)
    return record(np.broadcast_to(START + 60.0 * np.arange(steps), wave_ST.shape), wave_ST)


KNOWN = rehearsal(1, 8, 160)


def test_tuning_beats_a_bad_network_but_a_copy_does_not() -> None:
    bad = untrained(log_scale=2.0).backbone
    verdict = consider({"bad": bad, "twin": bad}, ["bad"] * 12, windows(), KNOWN, RATE)
    assert verdict.chosen == CANDIDATE
    assert verdict.loss[CANDIDATE] < verdict.loss["running"] == verdict.loss["bad"] == verdict.loss["twin"]


def test_candidate_that_learned_other_data_is_rejected() -> None:
    trained, seen = untrained().backbone, windows()
    for _ in range(3):
        trained = tune(trained, seen, KNOWN, 3 * RATE, lambda: None)
    broken = Windows(seen.inputs_TSF, seen.target_TS.clone(), seen.mask_TS, seen.unit_TS)
    broken.target_TS[: -judged(160) - 1] *= -40.0  # the past teaches the opposite of what comes
    verdict = consider({"now": trained}, ["now"] * 12, broken, KNOWN, RATE)
    assert verdict.chosen is None
    assert verdict.loss[CANDIDATE] > verdict.loss["running"]


def test_rehearsed_streams_are_not_forgotten() -> None:
    knowing, seen = untrained().backbone, windows()
    for _ in range(3):
        knowing = tune(knowing, KNOWN, KNOWN, RATE, lambda: None)
    with_it, without = (tune(knowing, seen, other, RATE, lambda: None) for other in (KNOWN, seen))
    known = [float(np.nanmean(record_of(one, KNOWN).loss_S)) for one in (knowing, with_it, without)]
    assert known[1] < known[2] - 0.01
    assert known[1] < known[0] + 0.01


def test_every_round_rehearses_other_streams_in_equal_number() -> None:
    one, same, other = (rehearsal(seed, 5, 40) for seed in (1, 1, 2))
    assert one.target_TS.shape == (40, 5)
    assert torch.equal(one.inputs_TSF, same.inputs_TSF)
    assert not torch.equal(one.inputs_TSF, other.inputs_TSF)
    assert rehearsal(1, 10_000, 2).target_TS.shape[1] == MOST_REHEARSED


def test_previous_weights_return_if_the_current_ones_do_worse() -> None:
    before, seen = untrained().backbone, windows()
    for _ in range(2):
        before = tune(before, seen, KNOWN, RATE, lambda: None)
    verdict = consider(
        {"before": before, "worse": untrained(log_scale=4.0).backbone}, ["worse"] * 12, seen, KNOWN, 1e-5
    )
    assert verdict.chosen == "before"


def test_judged_samples_are_not_learned_from() -> None:
    seen = windows()
    other = Windows(seen.inputs_TSF.clone(), seen.target_TS.clone(), seen.mask_TS, seen.unit_TS)
    other.inputs_TSF[-judged(160) :] = 0
    other.target_TS[-judged(160) - 1 :] = 7
    one, two = (tune(untrained().backbone, part, KNOWN, RATE, lambda: None) for part in (seen, other))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, two.state_dict()[name], rtol=0, atol=0)
    assert not np.array_equal(record_of(one, seen).loss_S, record_of(one, other).loss_S)


def test_learning_is_deterministic_and_does_not_change_its_origin() -> None:
    origin = untrained().backbone
    before = {name: tensor.clone() for name, tensor in origin.state_dict().items()}
    one, two = (tune(origin, windows(), KNOWN, RATE, lambda: None).state_dict() for _ in range(2))
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name])
        assert torch.equal(origin.state_dict()[name], before[name])


def test_streams_with_other_weights_are_compared_with_their_own() -> None:
    good, bad = untrained(1).backbone, untrained(2, log_scale=3.0).backbone
    seen = windows()
    running = ["good"] * 9 + ["bad"] * 3
    verdict = consider({"good": good, "bad": bad}, running, seen, KNOWN, RATE)
    mine = np.where(np.array(running) == "good", record_of(good, seen).loss_S, record_of(bad, seen).loss_S)
    assert verdict.loss["running"] == mine.mean()


def test_chance_differences_do_not_change_weights() -> None:
    rng = np.random.default_rng(0)
    loss_S, same_S = rng.normal(size=200), np.zeros(200)
    running = Record(loss_S, same_S)
    assert beats(Record(loss_S - 0.1, same_S), running)
    assert not beats(Record(loss_S + rng.normal(size=200) * 0.5 + 0.05, same_S), running)
    assert not beats(running, running)
    assert not beats(Record(np.full(3, np.nan), np.zeros(3)), Record(np.ones(3), np.zeros(3)))


def test_better_scale_does_not_compensate_worse_forecasts() -> None:
    running = Record(np.zeros(9), np.zeros(9))
    assert beats(Record(np.full(9, -1.0), np.full(9, -0.01)), running)
    assert not beats(Record(np.full(9, -1.0), np.full(9, 0.01)), running)


def test_losses_are_the_same_in_parts_and_as_a_whole() -> None:
    backbone, seen = untrained().backbone, windows(40)
    whole = record_of(backbone, seen)
    one = Windows(*(part[:, 37:38] for part in (seen.inputs_TSF, seen.target_TS, seen.mask_TS, seen.unit_TS)))
    np.testing.assert_allclose(record_of(backbone, one).loss_S, whole.loss_S[37:38], rtol=1e-5)
    np.testing.assert_allclose(record_of(backbone, one).error_S, whole.error_S[37:38], rtol=1e-5)
    outputs, *_ = backbone.unroll(seen.inputs_TSF, *backbone.initial(40))
    loss_TS, _ = likelihood(outputs, seen.inputs_TSF, seen.target_TS)
    wanted = loss_TS[-judged(160) - 1 : -1].double().mean(0).detach()
    np.testing.assert_allclose(whole.loss_S, wanted.numpy(), rtol=1e-4)


def test_short_streams_are_masked() -> None:
    long, short = np.ones((40, WIDTH), np.float32), np.ones((10, WIDTH), np.float32)
    seen = windows_of([long, short], 40)
    assert seen.mask_TS.sum(0).tolist() == [39, 9]
    assert seen.mask_TS[:30, 1].sum() == 0
    assert torch.isfinite(seen.inputs_TSF).all()
