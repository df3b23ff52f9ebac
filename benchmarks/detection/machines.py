"""Machines through the product's streams and groups: what `groups.by: [host]` says of a host.

Shape legend: T rows, M metrics of a machine, F metrics of all machines, one machine after the other, G machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.detection.components import Forecasts, Trace, is_compact, play_collection
from benchmarks.detection.machine_files import Machine
from detector.backtest.series import Series
from detector.columns import Rows, allocate
from detector.records import Float64, Int64
from detector.scoring import GroupScorer
from detector.scoring.budget import Budget
from detector.scoring.group import Members, Seen
from detector.scoring.interval import SamplingInterval

METRICS_AT_ONCE = 256
"""As many as the network takes in one call."""


def metrics(machines: Sequence[Machine]) -> list[Series]:
    """[F] every metric as a series of its own, without windows: labels judge the machine."""
    none = np.zeros((0, 2), dtype=np.int64)
    return [
        Series(f"{machine.name}/{metric}", machine.times, values.astype(np.float64), none)
        for machine in machines
        for metric, values in enumerate(machine.values.T)
    ]


def play_groups(machines: Sequence[Machine], forecaster: Forecasts, at_once: int = METRICS_AT_ONCE) -> list[Float64]:
    """[T of test] the group's anomaly score of every machine.

    Machines are played side by side up to `at_once` metrics, which bounds memory; their scores do not depend on it.
    """
    scores = []
    for lot in _lots(machines, at_once):
        traces = play_collection(metrics(lot), forecaster)
        scores += of_test(lot, group_scores(lot, traces, GroupScorer(compact=is_compact(forecaster))))
    return scores


def _lots(machines: Sequence[Machine], at_once: int) -> Iterator[list[Machine]]:
    """Machines in their order, as many together as have no more than so many metrics, and at least one."""
    lot: list[Machine] = []
    for machine in machines:
        if lot and sum(one.values.shape[1] for one in (*lot, machine)) > at_once:
            yield lot
            lot = []
        lot.append(machine)
    if lot:
        yield lot


def of_test(machines: Sequence[Machine], scores: Sequence[Float64]) -> list[Float64]:
    """The rows that labels judge."""
    return [score[machine.first_test_row :] for machine, score in zip(machines, scores, strict=True)]


def group_scores(
    machines: Sequence[Machine], traces: Sequence[Trace], scorer: GroupScorer | None = None
) -> list[Float64]:
    """[T] anomaly score of every group, all groups side by side; a row is a tick. `traces` [F].

    A metric without a value in a row is not seen in that tick.
    """
    scorer = scorer or GroupScorer()
    state = allocate((*scorer.fields, *SamplingInterval.fields, *Budget.fields), len(traces) + len(machines))
    longest = max(len(machine.times) for machine in machines)
    shown = np.zeros((4, longest, len(traces)), dtype=np.float32)
    for column, trace in enumerate(traces):
        shown[:, : len(trace.novelty), column] = (
            trace.novelty,
            trace.size,
            trace.reach,
            trace.anomaly_score,
        )
    valued = np.zeros(shown.shape[1:], dtype=bool)
    first = 0
    for machine in machines:
        end = first + machine.values.shape[1]
        valued[: len(machine.times), first:end] = np.isfinite(machine.values)
        first = end
    times, said = np.zeros((2, longest, len(machines)))
    for column, machine in enumerate(machines):
        times[: len(machine.times), column] = machine.times
    for first, last, groups, members in _spans(machines):
        rows = len(traces) + groups
        for tick in range(first, last):
            state["group.tick"][rows] = tick
            seen = members.rows[valued[tick, members.rows]]
            now = np.full(len(seen), float(tick))
            scorer.take(state, seen, now, Seen(*shown[:, tick, seen].astype(np.float64)))
            judged = scorer.score(state, rows, members)
            scorer.learn(state, rows, times[tick, groups], judged)
            said[tick, groups] = judged.anomaly_score
    return [said[: len(machine.times), column] for column, machine in enumerate(machines)]


def _spans(machines: Sequence[Machine]) -> Iterator[tuple[int, int, Int64, Members]]:
    """(first row, row behind the last, machines that have them, their metrics)."""
    lengths = np.array([len(machine.times) for machine in machines])
    sizes = np.array([machine.values.shape[1] for machine in machines])
    ends = np.unique(lengths)
    for first, last in zip((0, *ends[:-1]), ends, strict=True):
        going = lengths >= last
        rows: Rows = np.flatnonzero(np.repeat(going, sizes))
        yield int(first), int(last), np.flatnonzero(going), Members(rows, np.cumsum(sizes[going]) - sizes[going])
