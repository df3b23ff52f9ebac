"""The lag benchmark, at a lag that takes a second."""

import pytest
import torch

from benchmarks.lag.draw import draw
from benchmarks.lag.learn import gradient_norms, learn
from benchmarks.lag.problems import PROBLEMS, adding, recall

pytestmark = pytest.mark.usefixtures("one_thread")


def test_answers_are_in_the_input_sequences():
    generator = torch.Generator().manual_seed(0)
    inputs, total = adding(generator, 30, 64)
    assert inputs.shape == (31, 64, 2)
    assert (inputs[..., 1].sum(0) == 2).all()
    assert torch.equal(inputs.prod(-1).sum(0), total)
    inputs, symbol = recall(generator, 30, 64)
    assert torch.equal(inputs[0, :, :-1].argmax(-1), symbol)
    assert (inputs[0, :, -1] == 1).all()
    assert not inputs[1:, :, -1].any()


def test_skill_is_zero_without_memory_and_one_with_the_answer():
    generator = torch.Generator().manual_seed(0)
    total, symbol = adding(generator, 20, 4096)[1], recall(generator, 20, 4096)[1]
    assert PROBLEMS["adding"].skill(torch.ones(4096, 1), total) == pytest.approx(0, abs=0.05)
    assert PROBLEMS["adding"].skill(total[:, None], total) == 1
    assert PROBLEMS["recall"].skill(torch.ones(4096, 4), symbol) == pytest.approx(0, abs=0.05)
    assert PROBLEMS["recall"].skill(torch.eye(4)[symbol], symbol) == 1


@pytest.mark.parametrize("problem", ["adding", "recall"])
def test_lstm_learns_a_lag_that_the_plain_network_does_not(problem):
    assert learn(PROBLEMS[problem], "lstm", 30, 500, 1).solved
    assert learn(PROBLEMS[problem], "rnn", 30, 500, 1).skill < 0.5


def test_gradient_of_the_plain_network_fades_fastest():
    at_100 = {cell: gradient_norms(cell, 100, 1, opened=False)[100] for cell in ("rnn", "lstm", "gru", "cifg")}
    assert at_100["rnn"] < 1e-6 * min(at_100["lstm"], at_100["gru"], at_100["cifg"])
    assert gradient_norms("lstm", 100, 1, opened=True)[100] > 1e-2


def test_picture_is_drawn(tmp_path):
    norms = {"rnn": [1.0, 0.1], "lstm": [1.0, 0.9]}
    found = {cell: {2: learn(PROBLEMS["recall"], cell, 2, 25, 1)} for cell in norms}
    draw(tmp_path / "lag.png", norms, norms, {"recall": found})
    assert (tmp_path / "lag.png").stat().st_size > 1000
