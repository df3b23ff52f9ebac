"""Machines in the benchmarks: groups side by side, fleets of hosts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection import fleet
from benchmarks.detection.components import Persistence, Trace
from benchmarks.detection.machine_files import Machine
from benchmarks.detection.machines import group_scores, metrics, play_groups


def machine(name: str, rows: int, count: int) -> Machine:
    return Machine(
        name, np.arange(0.0, 60.0 * rows, 60.0), np.zeros((rows, count), np.float32), np.zeros(rows // 2, bool), 60.0
    )


def traces(rows: int, count: int, seed: int) -> list[Trace]:
    rng = np.random.default_rng(seed)
    return [Trace(*rng.random((7, rows)).astype(np.float32).astype(np.float64)) for _ in range(count)]


def test_groups_side_by_side_score_as_alone() -> None:
    machines = [machine("a", 150, 3), machine("b", 120, 5), machine("c", 150, 1)]
    shown = [traces(len(one.times), one.values.shape[1], seed) for seed, one in enumerate(machines)]
    together = group_scores(machines, [trace for part in shown for trace in part])
    for one, part, scores in zip(machines, shown, together, strict=True):
        np.testing.assert_array_equal(scores, group_scores([one], part)[0])
        assert len(scores) == len(one.times)
        assert scores.max() > 0.0


def test_metric_without_a_value_is_not_scored() -> None:
    with_gap, without = machine("a", 150, 3), machine("a", 150, 2)
    with_gap.values[:, 1] = np.nan
    shown = traces(150, 3, 1)
    scores = group_scores([with_gap], shown)[0]
    np.testing.assert_array_equal(scores, group_scores([without], [shown[0], shown[2]])[0])
    assert scores.max() > 0.0


def test_labels_judge_the_rows_of_the_second_half() -> None:
    scores = play_groups([machine("a", 150, 2)], Persistence())
    assert [len(score) for score in scores] == [75]


def test_many_machines_are_played_in_portions_with_the_same_scores() -> None:
    machines = fleet.fleet(5, 3, 1.0, 300.0, events=3)
    together, in_lots = (play_groups(machines, Persistence(), at_once=most) for most in (1_000, 1))
    assert len(in_lots) == 3
    for one, other in zip(together, in_lots, strict=True):
        assert one.max() > 0.0
        np.testing.assert_array_equal(one, other)


def test_each_metric_is_a_series() -> None:
    one = machine("a", 10, 2)
    one.values[:, 1] = np.arange(10)
    assert [series.name for series in metrics([one])] == ["a/0", "a/1"]
    assert metrics([one])[1].values.tolist() == list(range(10))


@pytest.mark.parametrize("events", [0, 3])
def test_events_of_a_host_are_where_its_labels_are(events: int) -> None:
    host, quiet = (fleet.fleet(3, 1, 2.0, 300.0, events=count)[0] for count in (events, 0))
    moved = (host.values != quiet.values).any(axis=1)
    assert len(np.flatnonzero(np.diff(host.labels.astype(int)) == 1)) == events
    np.testing.assert_array_equal(moved, host.labels)
