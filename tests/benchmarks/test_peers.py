"""Peers in the comparison are causal and find obvious faults."""

import json

import numpy as np
import pytest

from benchmarks.detection.machine_files import Machine
from benchmarks.peers import machine, stream
from benchmarks.peers.__main__ import COLUMNS, Selection, compare, complaint, key, main, on_synthetic, scored, table
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
def test_score_uses_nothing_after_its_row(peer: stream.Peer, values):
    np.testing.assert_allclose(peer(values)[:350], peer(values[:350]), rtol=1e-9)


@pytest.mark.parametrize("peer", WITHOUT_PACKAGES, ids=lambda peer: peer.__name__)
def test_obvious_spike_scores_highest(peer: stream.Peer, values):
    # The first rows, when little has been seen, do not count in any benchmark either.
    assert 100 + peer(values)[100:].argmax() in (300, 301)


def test_columns_are_scored_as_alone(values):
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


def test_score_of_a_window_is_assigned_to_its_last_row():
    assert machine.at_last_row(np.arange(5.0), 2).tolist() == [0.0, 0.0, 0.0, 1.0, 2.0]


def test_peer_with_a_bounded_memory_gets_only_that_many_rows():
    shown = []

    def peer(rows):
        shown.append(len(rows))
        return rows[:, 0]

    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    host = Machine("a", np.arange(10.0), values, np.zeros(4, bool), 60.0)
    assert machine.by_row(peer)(host).tolist() == machine.by_row(peer, 3)(host).tolist() == [12.0, 14.0, 16.0, 18.0]
    assert shown == [10, 7]


def test_gap_does_not_remove_a_peers_scores(values):
    both = np.stack((values, values[::-1]), axis=1).astype(np.float32)
    host = Machine("a", np.arange(400.0), both, np.zeros(200, bool), 60.0)
    both[20:23, 0] = both[350, 1] = np.nan
    both[0, 1] = np.inf
    for name, peer in machine.MACHINE_PEERS.items():
        if "TSB" not in name and not name.startswith(("river", "rrcf", "stumpy")):
            scores = peer(host)
            assert np.isfinite(scores).all()
            assert 95 < scores.argmax() < 103, name  # the spike of the first metric, at row 300 of 400
    both[:, 1] = np.nan
    assert machine.without_gaps(host)[:, 1].tolist() == [0.0] * 400
    assert machine.without_gaps(host)[19:24, 0].tolist() == [both[19, 0]] * 4 + [both[23, 0]]


def test_series_without_a_value_has_scores():
    nothing = Series("a", np.arange(5.0), np.full(5, np.nan), np.zeros((0, 2), np.int64))
    for peer in WITHOUT_PACKAGES:
        assert scored(nothing, peer).tolist() == [0.0] * 5


def test_scores_of_other_values_are_not_taken_from_the_cache():
    one, other = (Series("a", np.arange(3.0), np.full(3, level), np.zeros((0, 2), np.int64)) for level in (1.0, 2.0))
    assert key(0, one) == key(0, one) != key(0, other)


def test_column_missing_for_some_detectors_is_shown():
    lines = table("smd", {"a": {"roc": float("nan")}, "b": dict.fromkeys(COLUMNS["smd"], 0.5)}).splitlines()
    assert lines[2:] == ["| a | - | - | - | - |", "| b | 0.5 | 0.5 | 0.5 | 0.5 |"]


def test_folder_without_the_benchmark_is_named_and_the_others_run(tmp_path, monkeypatch, capsys):
    for prefix in ("machine", "web"):
        train, test, label = np.zeros((9, 1)), np.arange(60.0)[:, None], np.arange(60) == 50
        np.savez(tmp_path / f"{prefix}-1.npz", train=train, test=test, label=label)
    arguments = [
        "--data",
        str(tmp_path),
        "--only",
        "persistence residual, by metric",
        "--json",
        str(tmp_path / "o.json"),
    ]
    monkeypatch.setattr("sys.argv", ["peers", "asd", "smd", *arguments])
    assert main() == 1
    shown = capsys.readouterr()
    assert "asd: no machine of asd" in shown.err
    assert shown.out.startswith("| smd |")
    assert list(json.loads((tmp_path / "o.json").read_text())) == ["smd"]


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


def test_missing_detector_is_named():
    assert complaint(["nab", "smd"], ["detector", "rrcf"]) is None
    assert complaint(["nab"], []) is None
    assert (complaint(["nab"], ["detector", "rcf"]) or "").startswith(
        "no detector is named 'rcf'; known are 'detector', "
    )
    assert complaint(["nab", "smd"], ["TSB-AD PCA"]) == "none of 'TSB-AD PCA' is a detector of nab"
