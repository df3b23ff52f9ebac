"""Machines through the product's streams and group: what `groups.by: [host]` says of a host. T rows, M metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.detection.components import Forecasts, Trace, play
from benchmarks.detection.layout import Machine
from detector.columns import allocate
from detector.records import Float64
from detector.scoring import GroupScorer
from detector.scoring.budget import Budget
from detector.scoring.group import Members


def play_groups(machines: Sequence[Machine], forecaster: Forecasts) -> list[Float64]:
    """[T of test] the group's anomaly score of every machine."""
    metrics = [(m.times, m.values[:, i].astype(np.float64)) for m in machines for i in range(m.values.shape[1])]
    traces = play(metrics, forecaster)
    scores = []
    for machine in machines:
        members, traces = traces[: machine.values.shape[1]], traces[machine.values.shape[1] :]
        scores.append(group_score(machine.times, members)[machine.first_test_row :])
    return scores


def group_score(times: Float64, traces: Sequence[Trace]) -> Float64:
    """[T] anomaly score of one group; a row is a tick, and its members' rows stand before its own."""
    scorer = GroupScorer()
    count = len(traces)
    state = allocate((*scorer.fields, *Budget.fields), count + 1)
    rows, group = np.arange(count), np.array([count])
    members = Members(rows, np.zeros(1, dtype=np.int64))
    shown = np.stack([(trace.raw, trace.size, trace.anomaly_score) for trace in traces], axis=-1)
    said = np.zeros(len(times))
    for tick in range(len(times)):
        novelty, size, score = shown[:, tick]
        state["group.tick"][group] = tick
        scorer.take(state, rows, np.full(count, float(tick)), novelty, size, score)
        judged = scorer.score(state, group, members)
        scorer.learn(state, group, times[[tick]], judged)
        said[tick] = judged.anomaly_score[0]
    return said
