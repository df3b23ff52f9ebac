"""The pure core: samples in, verdicts and alerts out. No clock, no Kafka, no file, no metrics server.

For each round (at most one sample a stream) four steps in this order: score against the forecast made at the last
sample, decide, learn, forecast. What comes out depends on the samples of a partition and their order only, not on how
they were cut into batches. Shape legend: N samples of a batch, B rows of a round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detector.alerts import Mutes
from detector.alerts.lifecycle import Lifecycle, Observation
from detector.columns import Rows
from detector.groups import Groups, Shown
from detector.notifications import MUTED, Model, Notifications
from detector.protocols import Forecaster, Recorder
from detector.records import (
    Alert,
    AlertStatus,
    Float64,
    Int64,
    Outcome,
    Partition,
    SampleBatch,
    ScoredBatch,
    Uint8,
)
from detector.scoring import GroupScorer, Scorer
from detector.streams.ordering import judge, rounds, screen
from detector.streams.partition import NO_ROW
from detector.streams.rates import Rates
from detector.streams.table import LATEST, StreamTable


@dataclass(slots=True)
class _Results:
    """Columns of a `ScoredBatch` while they are filled."""

    outcomes: Uint8
    expected: Float64
    lower: Float64
    upper: Float64
    scores: Float64
    statuses: Uint8
    novelty: Float64
    size: Float64
    reach: Float64
    alerts: list[tuple[int, Alert]]

    @classmethod
    def of(cls, outcomes: Uint8) -> _Results:
        count = len(outcomes)
        nan = np.full(count, np.nan)
        zeros = np.zeros(count)
        statuses = np.zeros(count, dtype=np.uint8)
        shown = (zeros.copy(), zeros.copy(), zeros.copy())
        return cls(outcomes, nan, nan.copy(), nan.copy(), zeros, statuses, *shown, [])


class Pipeline:
    """Everything between a decoded sample and an alert; the only owner of stream state."""

    def __init__(
        self,
        forecaster: Forecaster,
        scorer: Scorer,
        lifecycle: Lifecycle,
        *,
        raw_counters: bool = False,
        max_streams: int,
        idle_expiry_seconds: float,
        max_future_seconds: float,
        critical_score: float,
        model: str,
        evict_idle_seconds: float = math.inf,
        groups: Groups | None = None,
        freeze_seconds: float = math.inf,
        mutes: Mutes | None = None,
    ) -> None:
        """`max_streams` of each partition; for the times see `StreamTable` and `screen`.

        Errors made while an alert is firing teach a stream's forecaster nothing for good, unless it has been firing for
        longer than `freeze_seconds`, in event time: then they are the new regime. An alert that `mutes` hold back is
        expected, and is learnt from.
        """
        self.forecaster = forecaster
        self.scorer = scorer
        self.lifecycle = lifecycle
        self.rates = Rates(raw=raw_counters)
        self.table = StreamTable(
            (*self.rates.fields, *forecaster.fields, *scorer.fields, *lifecycle.fields, *GroupScorer.fields),
            max_streams,
            idle_expiry_seconds,
            evict_idle_seconds,
            groups.settings.by if groups else (),
        )
        self.groups = groups
        self.max_future_seconds = max_future_seconds
        self.freeze_seconds = freeze_seconds
        self.model = model
        self.models: dict[Partition, Model] = {}
        """Partitions whose streams are forecast with other weights, of the same shape."""
        self.recorder: Recorder | None = None
        self._usual = Model(model, forecaster)
        mutes = mutes or Mutes()
        self.notifications = Notifications(self.table, self.rates, self.model_of, mutes, groups, critical_score)

    def model_of(self, partition: Partition) -> Model:
        """What forecasts the partition's streams."""
        return self.models.get(partition, self._usual)

    def process(self, batch: SampleBatch, *, expire: bool = False) -> ScoredBatch:
        """Verdicts for every sample, and the alerts that began or ended, in the order of the samples.

        With `expire`, streams that fell silent are forgotten, measured by the partition's event time, and their
        open alerts end; sooner where the partition is full. Without it a stream starts anew only where it comes back:
        for recordings of many ages at once.
        """
        partition = (batch.topic, batch.partition)
        results = _Results.of(screen(batch, self.max_future_seconds))
        picks_N = np.flatnonzero(results.outcomes == Outcome.SCORED)
        while expire and (at := self.table.until_look(partition, batch.times[picks_N])) is not None:
            self._stretch(batch, picks_N[:at], results)
            picks_N = picks_N[at:]
            pick = int(picks_N[0])
            if self.table.look(partition, int(batch.series[pick]), float(batch.times[pick])):
                self._expire_idle(partition, pick, results)
        self._stretch(batch, picks_N, results)
        self.table.trim(partition)
        alerts = tuple(alert for _, alert in sorted(results.alerts, key=lambda pair: pair[0]))
        return ScoredBatch(
            results.outcomes, results.expected, results.lower, results.upper, results.scores, results.statuses, alerts,
            self.notifications.take_muted(),
        )  # fmt: skip

    def _stretch(self, batch: SampleBatch, picks_N: Int64, results: _Results) -> None:
        """Samples between two looks for idle streams."""
        partition = (batch.topic, batch.partition)
        rows_N = self.table.rows(partition, batch.series[picks_N], batch.times[picks_N])
        results.outcomes[picks_N[rows_N == NO_ROW]] = Outcome.STREAM_LIMIT
        picks_N, rows_N = picks_N[rows_N != NO_ROW], rows_N[rows_N != NO_ROW]
        for nth in rounds(rows_N):
            self._round(batch, picks_N[nth], rows_N[nth], results)
        if self.groups is not None:
            self._judge_groups(self.groups, batch, picks_N, rows_N, results)

    def _judge_groups(self, groups: Groups, batch: SampleBatch, picks: Int64, rows: Rows, results: _Results) -> None:
        scored = results.outcomes[picks] == Outcome.SCORED
        shown = Shown(
            rows, batch.times[picks], scored, results.novelty[picks], results.size[picks], results.reach[picks],
            results.scores[picks], batch.offsets[picks],
        )  # fmt: skip
        for said in groups.process(self.table, (batch.topic, batch.partition), shown):
            partition = (batch.topic, batch.partition)
            for at in self.notifications.due(partition, said.groups, said.times, said.before, said.status):
                status, time = AlertStatus(said.status[at]), float(said.times[at])
                alert = self.notifications.alert(partition, int(said.groups[at]), status, time)
                results.alerts.append((int(picks[said.picks[at]]), alert))

    def _round(self, batch: SampleBatch, picks: Int64, rows: Rows, results: _Results) -> None:
        state, partition = self.table.columns, (batch.topic, batch.partition)
        verdicts = judge(batch.times[picks], state[LATEST.name][rows])
        if verdicts.any():
            results.outcomes[picks] = verdicts
            picks, rows = picks[verdicts == Outcome.SCORED], rows[verdicts == Outcome.SCORED]
        if not len(picks):
            return
        times, values = batch.times[picks], batch.values[picks]
        self._restart_idle(partition, picks, rows, times, results)
        values = self.rates.values(state, rows, times, values, batch.kinds[picks])
        starts = np.isnan(values)
        if starts.any():
            results.outcomes[picks[starts]] = Outcome.COUNTER_START
            state[LATEST.name][rows[starts]] = times[starts]
            picks, rows, times, values = picks[~starts], rows[~starts], times[~starts], values[~starts]
            if not len(picks):
                return

        forecaster = self.model_of(partition).forecaster
        forecast = forecaster.stored(state, rows)
        score = self.scorer.score(state, rows, times, values, forecast.loc, forecast.scale)

        seen = Observation(
            times, values, forecast.loc, score.lower, score.upper, score.anomaly_score, batch.offsets[picks]
        )
        before = state["alert.status"][rows]
        status = self.lifecycle.decide(state, rows, seen)
        due = self.notifications.due(partition, rows, times, before, status)

        self.scorer.learn(state, rows, times, values, forecast.loc, forecast.scale, score)
        frozen = (status == AlertStatus.FIRING) & (times - state["alert.starts_at"][rows] <= self.freeze_seconds)
        frozen &= state["alert.held"][rows] != MUTED
        forecaster.learn(state, rows, times, values, frozen)
        if self.recorder is not None:
            self.recorder.take(state, rows)
        state[LATEST.name][rows] = times

        for at in due:
            alert = self.notifications.alert(partition, int(rows[at]), AlertStatus(status[at]), float(times[at]))
            results.alerts.append((int(picks[at]), alert))
        forecaster.forecast(state, rows)

        results.outcomes[picks] = np.where(score.warming, Outcome.WARMUP, Outcome.SCORED)
        results.expected[picks] = forecast.loc
        results.lower[picks], results.upper[picks] = score.lower, score.upper
        results.scores[picks] = score.anomaly_score
        results.statuses[picks] = status
        if self.groups is not None:
            results.novelty[picks], results.size[picks], results.reach[picks] = score.raw, score.size, score.reach

    def _restart_idle(self, partition: Partition, picks: Int64, rows: Rows, times: Float64, results: _Results) -> None:
        """A stream that comes back after the expiry is a new one; an alert it left open ends where it fell silent."""
        idle = self.table.idle(rows, times)
        if idle.any():
            for at in np.flatnonzero(idle).tolist():
                ended = self.notifications.ended(partition, rows[at : at + 1])
                results.alerts += [(int(picks[at]), alert) for alert in ended]
            self.table.restart(rows[idle])

    def _expire_idle(self, partition: Partition, pick: int, results: _Results) -> None:
        """Before the sample `pick`, with which event time went on."""
        now = self.table.event_time(partition).newest
        expired = self.table.idle_rows(partition, now)
        self._forget(partition, pick, expired, results)
        self.table.expired += len(expired)
        evicted = self.table.surplus_rows(partition, now)
        self._forget(partition, pick, evicted, results)
        self.table.evicted += len(evicted)
        if self.groups is not None:
            self.groups.put_right(self.table, partition, now)

    def _forget(self, partition: Partition, pick: int, streams: Rows, results: _Results) -> None:
        rows = self.table.with_childless_groups(partition, streams)
        results.alerts += [(pick, alert) for alert in self.notifications.ended(partition, rows)]
        self.table.release(partition, rows)
