"""G15: alerts through restarts, evictions and kills, compared with a model that takes one sample at a time."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from detector.alerts import Lifecycle
from detector.columns import Columns, Rows
from detector.pipeline import Pipeline
from detector.records import Float64, SampleBatch, Severity
from detector.scoring import Scorer
from detector.scoring.score import Score
from detector.series import SeriesKey
from detector.streams.event_time import EventTime, looked, until_look
from detector.testing import LastValueForecaster
from tests.guarantees.snapshot import restarted

LIMIT, EXPIRY_SECONDS, EVICT_IDLE_SECONDS, STEP_SECONDS = 5, 2_000.0, 400.0, 10.0
LOOK_SECONDS = EVICT_IDLE_SECONDS / 8
NORMAL = 2
Told = tuple[str, str, float]
"""(stream, FIRING or RESOLVED, when the alert started)."""


class Model:
    """What is sent about a partition: at most one open alert a stream, resolved before the next one."""

    def __init__(self) -> None:
        self.latest: dict[str, float] = {}
        self.firing: dict[str, tuple[float, int]] = {}
        self.event_time = EventTime()

    def sample(self, name: str, time: float, score: float) -> list[Told]:
        told = self._look_for_silence(name, time)
        is_new = name not in self.latest
        if (is_new and len(self.latest) == LIMIT) or time <= self.latest.get(name, -np.inf):
            return told
        if time - self.latest.get(name, time) > EXPIRY_SECONDS:
            told += self._end(name)
        self.latest[name] = time
        if name not in self.firing:
            if score > 1.0:
                self.firing[name] = (time, 0)
                told.append((name, "FIRING", time))
            return told
        start, normal = self.firing[name]
        self.firing[name] = (start, normal + 1 if score < 0.8 else 0)
        return told + (self._end(name) if self.firing[name][1] == NORMAL else [])

    def _look_for_silence(self, name: str, time: float) -> list[Told]:
        before, others = self.event_time, [latest for other, latest in self.latest.items() if other != name]
        self.event_time, asks = until_look(before, np.array([time]), LOOK_SECONDS)
        if asks is None:
            return []
        self.event_time = looked(self.event_time, time, np.array(others), LOOK_SECONDS)
        now = self.event_time.newest
        self.event_time, _ = until_look(self.event_time, np.array([time]), LOOK_SECONDS)
        if self.event_time.young or now <= before.newest:
            return []
        gone = [name for name, latest in self.latest.items() if abs(now - latest) > EXPIRY_SECONDS]
        left = {name: latest for name, latest in self.latest.items() if name not in gone}
        oldest = min(left, key=lambda name: left[name], default="")
        if len(left) == LIMIT and now - left[oldest] > EVICT_IDLE_SECONDS:
            gone.append(oldest)
        for name in gone:
            del self.latest[name]
        return [told for name in gone for told in self._end(name)]

    def _end(self, name: str) -> list[Told]:
        return [(name, "RESOLVED", self.firing.pop(name)[0])] if name in self.firing else []


class ValueScorer(Scorer):
    """A value is its own score, so that a test decides what is anomalous; no value is outside its band."""

    def score(self, state: Columns, rows: Rows, times: Float64, values: Float64, loc: Float64, scale: Float64) -> Score:
        usual = super().score(state, rows, times, values, loc, scale)
        wide = np.full(len(rows), np.inf)
        never = np.zeros(len(rows), dtype=np.bool_)
        return dataclasses.replace(usual, anomaly_score=values, warming=never, lower=-wide, upper=wide)


def pipeline_of() -> Pipeline:
    return Pipeline(
        LastValueForecaster(),
        ValueScorer(),
        Lifecycle(
            anomalous=1, of=1, recovery_normal=NORMAL, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
        ),
        max_streams=LIMIT,
        idle_expiry_seconds=EXPIRY_SECONDS,
        evict_idle_seconds=EVICT_IDLE_SECONDS,
        max_future_seconds=1e9,
        critical_score=2.0,
        model="last-value",
    )


class Worker(RuleBasedStateMachine):
    """Samples wait until they are delivered as one batch; processes are replaced in between."""

    @initialize()
    def begin(self) -> None:
        self.pipeline, self.model = pipeline_of(), Model()
        self.waiting: list[tuple[str, float, float]] = []
        self.open: dict[str, tuple[str, Severity]] = {}
        self.ids: set[str] = set()
        self.now, self.offset = 1_000.0, 0

    @rule(
        stream=st.integers(0, 6), score=st.sampled_from([0.0, 0.5, 0.9, 1.5, 3.0]), late=st.sampled_from([0, 0, 0, 7])
    )
    def sample(self, stream: int, score: float, late: int) -> None:
        self.now += STEP_SECONDS
        self.waiting.append((f"s{stream}", self.now - late * STEP_SECONDS, score))

    @rule(stream=st.integers(0, 6))
    def anomaly(self, stream: int) -> None:
        self.sample(stream, 2.0, 0)

    @rule(seconds=st.sampled_from([100.0, 450.0, 2_100.0]))
    def silence(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        self.pipeline = restarted(self.pipeline, pipeline_of(), ("t", 0))

    @rule()
    def deliver(self) -> None:
        told: dict[str, list[Any]] = defaultdict(list)
        for alert in self.pipeline.process(self._batch(), expire=True).alerts:
            name, status = str(alert.series), alert.status.name
            told[name].append((name, status, alert.starts_at))
            if status == "FIRING":
                assert name not in self.open, "one open alert a stream"
                assert alert.id not in self.ids, "another alert is another id"
                self.open[name] = (alert.id, alert.severity)
                self.ids.add(alert.id)
            else:
                assert self.open.pop(name) == (alert.id, alert.severity), "what ends is what began"
        expected: dict[str, list[Told]] = defaultdict(list)
        for one in (one for waiting in self.waiting for one in self.model.sample(*waiting)):
            expected[one[0]].append(one)
        assert told == expected
        self.waiting = []

    def teardown(self) -> None:
        self.deliver()

    def _batch(self) -> SampleBatch:
        index, count = self.pipeline.table.series(("t", 0)), len(self.waiting)
        self.offset += count
        return SampleBatch(
            topic="t",
            partition=0,
            series=np.array([index.intern(SeriesKey.of(name)) for name, _, _ in self.waiting], dtype=np.int64),
            times=np.array([time for _, time, _ in self.waiting], dtype=np.float64),
            values=np.array([score for _, _, score in self.waiting], dtype=np.float64),
            kinds=np.zeros(count, dtype=np.uint8),
            outcomes=np.zeros(count, dtype=np.uint8),
            offsets=np.arange(self.offset - count, self.offset),
            record_times=np.full(count, np.nan),
        )


def test_g15_at_most_one_alert_of_a_stream_is_open_through_restarts_and_evictions() -> None:
    run_state_machine_as_test(Worker, settings=settings(deadline=None, max_examples=60, stateful_step_count=80))
