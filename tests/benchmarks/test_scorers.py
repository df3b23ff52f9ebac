"""The benchmarks' scorers compared with their definitions, computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection import server, synthetic
from benchmarks.detection.components import Persistence, play_collection
from benchmarks.detection.layout import DEFAULT_DATA, load_collection, load_scores
from benchmarks.detection.machine_files import Machine
from detector.backtest import daily, nab
from detector.backtest.series import Series
from detector.backtest.sweep import at_least, cumulate
from detector.errors import SourceError

Array = np.ndarray


def series(rows: int, windows: list[tuple[int, int]], step: float = 3600.0) -> Series:
    return Series(
        "a/b.csv",
        np.linspace(0.0, step * (rows - 1), rows),
        np.zeros(rows),
        np.array(windows, dtype=np.int64).reshape(-1, 2),
    )


def first_rows(collection: list[Series]) -> list[Array]:
    scores = []
    for one in collection:
        score = np.zeros(len(one.times))
        score[nab.counted_windows(one)[:, 0]] = 2.0
        scores.append(score)
    return scores


def made() -> list[Series]:
    return [series(1000, [(400, 480), (700, 760)]), series(500, []), series(6000, [(900, 1300)])]


def nab_itself() -> list[Series]:
    return load_collection(DEFAULT_DATA / "nab")


@pytest.mark.parametrize("load", [made, nab_itself] if DEFAULT_DATA.exists() else [made])
def test_nab_is_0_without_detections_and_100_for_perfect_ones(load: Callable[[], list[Series]]) -> None:
    collection = load()
    nothing = nab.evaluate(collection, [np.zeros(len(one.times)) for one in collection])
    everything = nab.evaluate(collection, first_rows(collection))
    for profile in nab.PROFILES:
        assert nothing[profile] == 0.0
        assert everything[profile] == 100.0
        assert nothing[f"{profile}_at_own_threshold"] == 0.0
        assert everything[f"{profile}_at_own_threshold"] == 100.0


def slow_nab(collection: list[Series], scores: list[Array], threshold: float, profile: nab.Profile) -> float:
    """The definition, one threshold, row by row."""
    total, windows = 0.0, 0
    for one, score in zip(collection, scores, strict=True):
        start = nab.probation(len(score))
        spans = [(int(a), int(b)) for a, b in nab.counted_windows(one)]
        windows += len(spans)
        for first, last in spans:
            hits = [row for row in range(max(first, start), last + 1) if score[row] >= threshold]
            if hits:
                position = -(last - hits[0] + 1) / (last - max(first, start) + 1)
                total += float(nab.sigmoid(np.array(position))) / nab.FULL_REWARD + profile.miss
        for row in range(start, len(score)):
            if score[row] < threshold or any(first <= row <= last for first, last in spans):
                continue
            before = [span for span in spans if span[1] < row]
            cost = 1.0
            if before:
                position = (row - before[-1][1]) / (before[-1][1] - before[-1][0])
                cost = 1.0 if position > 3.0 else -float(nab.sigmoid(np.array(position)))
            total -= profile.false * cost
    return 100.0 * total / ((1.0 + profile.miss) * windows)


def test_nab_sweep_equals_the_definition_at_every_threshold() -> None:
    rng = np.random.default_rng(0)
    collection = [series(400, [(120, 150), (300, 330)]), series(300, [(200, 220)])]
    scores = [np.round(rng.random(len(one.times)) ** 4, 2) for one in collection]
    figures = nab.evaluate(collection, scores)
    for name, profile in nab.PROFILES.items():
        thresholds = np.unique(np.concatenate(scores))
        best = max(slow_nab(collection, scores, threshold, profile) for threshold in thresholds)
        assert figures[name] == pytest.approx(max(best, 0.0), abs=1e-9)


def test_rows_that_were_not_judged_are_never_detections() -> None:
    one = series(100, [(15, 99)])  # to detect every row would be perfect
    found = nab.evaluate([one], [np.zeros(100)])
    assert (found["standard"], found["best_threshold"]) == (0.0, np.inf)
    assert daily.evaluate([one], [np.zeros(100)])["best_f1"] == 0.0


def test_cloud_counts_events_and_days() -> None:
    one = series(480, [(100, 105), (200, 201), (300, 310)])
    score = np.zeros(480)
    score[108] = 3.0  # three rows behind the first event: caught
    score[205] = 2.0  # four rows behind the second: false
    score[[250, 251]] = 2.0  # false, the two on one day
    figures = daily.evaluate([one], [score])
    assert figures["events"] == 3
    assert figures["caught_at_own_threshold"] == pytest.approx(1 / 3)
    assert figures["false_per_stream_week_at_own_threshold"] == pytest.approx(2 / ((479 - 72) / 168))
    assert figures["f1_at_own_threshold"] == pytest.approx(2 / (1 + 2 + 3))
    assert figures["best_f1"] == pytest.approx(2 / (1 + 0 + 3))


def test_server_incidents_and_episodes() -> None:
    labels = np.zeros(1440, dtype=bool)
    labels[500:520] = labels[900:910] = True
    machine = Machine("machine-x", np.arange(1440.0), np.zeros((1440, 4), np.float32), labels, 60.0)
    group = np.zeros(1440)
    group[[505, 507, 100, 105, 130]] = 2.0
    share, delay, false = server.incidents_caught([machine], [group], 1.0)
    assert share == 0.5
    assert delay == 5.0
    assert false == pytest.approx(2 / (1410 / 1440))  # 100 and 105 are one episode
    roc, precision = server.roc_and_average_precision(labels, labels.astype(float))
    assert (roc, precision) == (1.0, 1.0)
    assert server.group_score(np.array([[0.0, 3.0, 6.0, 9.0]])).tolist() == [6.0]


def test_threshold_without_a_false_episode_is_within_every_budget() -> None:
    labels = np.zeros(60, dtype=bool)
    labels[30:40] = True
    machine = Machine("machine-x", np.arange(60.0), np.zeros((60, 1), np.float32), labels, 60.0)
    group = np.zeros(60)
    group[[5, 35]] = 1.0, 9.0  # an hour with one false episode is far above one a day
    assert server.evaluate([machine], [group])["caught_in_budget"] == 1.0


def test_sweep_is_a_step_function() -> None:
    curve = cumulate(np.array([1.0, 2.0, 2.0]), np.array([5.0, 1.0, 1.0]))
    assert at_least(curve, np.array([3.0, 2.0, 1.5, 1.0])).tolist() == [0.0, 2.0, 2.0, 7.0]


def test_scores_are_read_back_from_a_replay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.csv").write_text(
        "timestamp,value,expected,lower,upper,anomaly_score,alert\n2020-01-01 00:00:00,1,1,0,2,0.5,\n"
        "2020-01-01 00:05:00,,,,,0,\n"
    )
    assert load_scores(series(2, []), tmp_path).tolist() == [0.5, 0.0]
    with pytest.raises(SourceError, match="2 scores for 3 rows"):
        load_scores(series(3, []), tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        load_scores(series(2, []), tmp_path / "elsewhere")
    (tmp_path / "a" / "b.csv").write_text("timestamp,value\n2020-01-01 00:00:00,1\n2020-01-01 00:05:00,\n")
    with pytest.raises(SourceError, match="no column anomaly_score"):
        load_scores(series(2, []), tmp_path)


def test_figures_without_events_are_undefined_and_no_error() -> None:
    one, score = series(480, []), np.zeros(480)
    score[200] = 2.0
    found = daily.evaluate([one], [score])
    assert all(np.isnan(found[name]) for name in ("best_f1", "caught_in_budget", "f1_at_own_threshold"))
    assert found["events"] == 0.0
    assert found["false_per_stream_week_at_own_threshold"] == pytest.approx(168 / 407)
    assert np.isnan(daily.evaluate([series(49, [])], [np.full(49, 2.0)])["false_per_stream_week_at_own_threshold"])
    swept = nab.evaluate([one], [score])
    assert (swept["windows"], swept["false_rows_at_own_threshold"]) == (0, 1.0)
    assert all(np.isnan(swept[f"{profile}_at_own_threshold"]) for profile in nab.PROFILES)


@pytest.mark.parametrize("labels", [np.zeros(200, bool), np.ones(200, bool)])
def test_machine_with_one_class_only_is_no_error(labels: Array) -> None:
    one = Machine("machine-x", np.arange(200.0), np.zeros((200, 2), np.float32), labels, 60.0)
    both = Machine("machine-y", np.arange(200.0), np.zeros((200, 2), np.float32), np.arange(200) > 150, 60.0)
    alone = server.evaluate([one], [np.ones(200)])
    assert np.isnan(alone["average_precision"])
    assert np.isnan(alone["caught_in_budget"])
    assert np.isnan(server.evaluate([one], [np.linspace(0.0, 1.0, 200)])["caught_in_budget"])
    score = both.labels.astype(float)
    beside = server.evaluate([one, both], [np.zeros(200), score])
    assert (beside["average_precision"], beside["roc"]) == (1.0, 1.0)
    assert np.isfinite(beside["caught_in_budget"])


def test_synthetic_streams_are_seeded_and_played() -> None:
    first, again, other = synthetic.suite(1, 1)[:3], synthetic.suite(1, 1)[:3], synthetic.suite(2, 1)[:3]
    assert all((a.values == b.values).all() for a, b in zip(first, again, strict=True))
    assert any(
        len(a.values) != len(b.values) or (a.values != b.values).any() for a, b in zip(first, other, strict=True)
    )
    short = [Series(s.name, s.times[:300], s.values[:300], s.windows) for s in first]
    short[0].values[40] = np.nan
    traces = play_collection(short, Persistence())
    assert [len(trace.anomaly_score) for trace in traces] == [300] * 3
    assert traces[0].anomaly_score[40] == 0.0
    assert np.isnan(traces[0].expected[40])
