"""Peers are worth comparing with only if they are causal, and find what is plain to see."""

import numpy as np
import pytest

from benchmarks.detection.machine_files import Machine
from benchmarks.peers import machine, stream
from benchmarks.peers.__main__ import Selection, compare, complaint, on_synthetic
from benchmarks.peers.cache import ScoreCache
from detector.backtest.series import Series

WITHOUT_PACKAGES = [
    stream.novelty,
    stream.novelties,
    stream.windowed_gaussian,
    stream.ewma_z,
    stream.persistence,
    stream.spectral_residual,
]


@pytest.fixture
def values():
    values = 10 + np.random.default_rng(1).normal(size=400)
    values[300] = 30
    return values


@pytest.mark.parametrize("peer", WITHOUT_PACKAGES, ids=lambda peer: peer.__name__)
def test_a_score_uses_nothing_after_its_row(peer: stream.Peer, values):
    np.testing.assert_allclose(peer(values)[:350], peer(values[:350]), rtol=1e-9)


@pytest.mark.parametrize("peer", WITHOUT_PACKAGES, ids=lambda peer: peer.__name__)
def test_a_plain_spike_scores_highest(peer: stream.Peer, values):
    # The first rows, when little has been seen, do not count in any benchmark either.
    assert 100 + peer(values)[100:].argmax() in (300, 301)


def test_columns_are_scored_as_if_each_were_alone(values):
    both = np.stack((values, values[::-1]), axis=1)
    np.testing.assert_array_equal(stream.novelty_columns(both)[:, 1], stream.novelty(values[::-1].copy()))


def test_scores_are_computed_once(tmp_path):
    computed = []

    def scores():
        computed.append(1)
        return np.arange(3.0)

    cache = ScoreCache(tmp_path)
    first, again = (cache.scored(("rrcf", "0-a/b.csv"), scores) for _ in range(2))
    assert computed == [1]
    assert first.scores.tolist() == again.scores.tolist() == [0.0, 1.0, 2.0]
    assert first.seconds == again.seconds
    cache.scored(("rrcf", "1-a/b.csv"), scores)
    ScoreCache(None).scored(("rrcf", "0-a/b.csv"), scores)
    assert len(computed) == 3


def test_a_score_that_saw_the_future_is_moved_to_its_last_row():
    assert machine.at_last_row(np.arange(5.0), 2).tolist() == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_a_forgetful_peer_is_shown_only_what_it_can_remember():
    shown = []

    def peer(rows):
        shown.append(len(rows))
        return rows[:, 0]

    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    host = Machine("a", np.arange(10.0), values, np.zeros(4, bool), 60.0)
    assert machine.by_row(peer)(host).tolist() == machine.by_row(peer, 3)(host).tolist() == [12.0, 14.0, 16.0, 18.0]
    assert shown == [10, 7]


def test_faults_caught_at_the_best_threshold_count():
    one = Series("level/spike", 3600.0 * np.arange(400.0), np.zeros(400), np.array([[200, 202], [300, 302]]))
    score = np.zeros(400)
    score[[201, 250, 301]] = 3.0, 2.0, 1.0
    figures = on_synthetic([one], [score])
    assert figures["best_f1"] == 0.8  # both faults, at the price of one false day
    assert figures["caught_at_best"] == 1.0


def test_both_profiles_of_the_detector_have_a_row():
    one = Series("a", np.arange(3.0), np.zeros(3), np.zeros((0, 2), np.int64))

    def evaluate(_, scores):
        return {"first score": float(scores[0][0])}

    selection = Selection([], ScoreCache(None))
    found = compare([one], lambda forecaster: [np.full(3, forecaster.compact)], {}, evaluate, selection)
    assert [figures["first score"] for figures in found.values()] == [0.0, 1.0]


def test_a_detector_that_is_asked_for_and_not_there_is_named():
    assert complaint(["nab", "smd"], ["detector", "rrcf"]) is None
    assert complaint(["nab"], []) is None
    assert (complaint(["nab"], ["detector", "rcf"]) or "").startswith(
        "no detector is named 'rcf'; known are 'detector', "
    )
    assert complaint(["nab", "smd"], ["TSB-AD PCA"]) == "none of 'TSB-AD PCA' is a detector of nab"
