"""Samples in, verdicts and alerts out, round by round.

A round has at most one sample per stream and takes four steps, in this order: score against the forecast made at the
last sample, decide, learn, forecast. Results depend only on the samples of a partition and their order, not on how they
were cut into batches.

Shape legend: N samples of a batch, B rows of a round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

import numpy as np

from detector.alerts import Mutes
from detector.alerts.lifecycle import Lifecycle, Observation
from detector.columns import Rows, reset
from detector.pipeline.groups import Groups, Part, Shown
from detector.pipeline.joined import Joined
from detector.pipeline.notifications import DELIVERY, Due, Model, Notifications
from detector.protocols import Forecaster, Recorder
from detector.records import (
    AlertStatus,
    Delivery,
    Float64,
    Int64,
    Outcome,
    Partition,
    SampleBatch,
    ScoredBatch,
    Uint8,
)
from detector.scoring import GroupScorer, Scorer
from detector.series import SeriesKey
from detector.streams.ordering import judge, rounds
from detector.streams.partition import NO_ROW
from detector.streams.rates import Rates
from detector.streams.table import LATEST, StreamTable

Onlooker = Callable[[Rows, tuple[Float64, ...], Callable[[int], SeriesKey]], None]


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
        """`max_streams` is per partition; for the times see `StreamTable` and `screen`.

        While an alert is firing, its stream's forecaster learns nothing lasting from its errors. After `freeze_seconds`
        of event time they count as the new regime and are learned. An alert held back by `mutes` is expected, so it is
        learned from at once.
        """
        self.forecaster = forecaster
        self.scorer = scorer
        self.lifecycle = lifecycle
        self.rates = Rates(raw=raw_counters)
        self.table = StreamTable(
            (*self.rates.fields, *forecaster.fields, *scorer.fields, *lifecycle.fields, *Notifications.fields),
            max_streams,
            idle_expiry_seconds,
            evict_idle_seconds,
            groups.settings.by if groups else (),
            GroupScorer.fields,
        )
        self.groups = groups
        self.max_future_seconds = max_future_seconds
        self.freeze_seconds = freeze_seconds
        self.model = model
        self.models: dict[Partition, Model] = {}
        """Partitions whose streams are forecast with other weights, for a network of the same shape."""
        self.recorder: Recorder | None = None
        self.onlooker: Onlooker | None = None
        """Called for every round with its rows; their values, forecasts, bounds, scores and times; row -> series."""
        self.progress: Callable[[], object] = lambda: None
        """Called after every round: a batch with many samples of few streams may take minutes."""
        self._usual = Model(model, forecaster)
        mutes = mutes or Mutes()
        self.notifications = Notifications(self.table, self.rates, self.model_of, mutes, groups, critical_score)

    def model_of(self, partition: Partition) -> Model:
        """The model that forecasts the partition's streams."""
        return self.models.get(partition, self._usual)

    def process(self, batch: SampleBatch, *, expire: bool = False) -> ScoredBatch:
        """Verdicts for all samples, and the alerts that began or ended, in the order of the samples.

        With `expire`, streams that have fallen silent by the partition's event time are forgotten (sooner if the
        partition is full), and their open alerts end, at the latest after `max_firing_seconds`. Without it, both happen
        only when a stream comes back, which suits recordings of different ages.
        """
        return self.process_together([batch], expire=expire)[0]

    def process_together(self, batches: Sequence[SampleBatch], *, expire: bool = False) -> list[ScoredBatch]:
        """Results of `process` for each of these batches of distinct partitions, which share their rounds."""
        alike: dict[Model, list[int]] = {}
        for place, batch in enumerate(batches):
            alike.setdefault(self.model_of((batch.topic, batch.partition)), []).append(place)
        scored: dict[int, ScoredBatch] = {}
        for model, places in alike.items():
            joined = Joined([batches[place] for place in places], model.forecaster, self.max_future_seconds)
            for stretches in zip_longest(*(self._stretches(joined, n, expire=expire) for n in range(len(places)))):
                self._stretch(joined, stretches)
            scored.update(zip(places, joined.apart(), strict=True))
        return [scored[place] for place in range(len(batches))]

    def _stretches(self, joined: Joined, place: int, *, expire: bool) -> Iterator[Int64]:
        """Positions of a batch's samples up to each look for idle streams; process a stretch before asking for more."""
        partition, picks_N = joined.partitions[place], joined.open(place)
        while expire and (at := self.table.until_look(partition, joined.times[picks_N])) is not None:
            yield picks_N[:at]
            picks_N = picks_N[at:]
            pick = int(picks_N[0])
            if self.table.look(partition, int(joined.series[pick]), float(joined.times[pick])):
                self._expire_idle(joined, partition, pick)
        yield picks_N
        self.table.trim(partition)

    def _stretch(self, joined: Joined, stretches: Sequence[Int64 | None]) -> None:
        """Process the next stretch of each batch that has one left."""
        parts = []
        for partition, picks in zip(joined.partitions, stretches, strict=True):
            if picks is not None and len(picks):
                rows = self.table.rows(partition, joined.series[picks], joined.times[picks])
                joined.outcomes[picks[rows == NO_ROW]] = Outcome.STREAM_LIMIT
                parts.append((partition, picks[rows != NO_ROW], rows[rows != NO_ROW]))
        if not parts:
            return
        picks_N = np.concatenate([picks for _, picks, _ in parts])
        rows_N = np.concatenate([rows for _, _, rows in parts])
        for nth in rounds(rows_N):
            self._round(joined, picks_N[nth], rows_N[nth])
            self.progress()
        if self.groups is not None:
            shares = [Part(partition, len(picks)) for partition, picks, _ in parts]
            self._judge_groups(self.groups, shares, joined, picks_N, rows_N)

    def _judge_groups(self, groups: Groups, parts: Sequence[Part], joined: Joined, picks: Int64, rows: Rows) -> None:
        shown = Shown(
            rows,
            joined.times[picks],
            joined.outcomes[picks] == Outcome.SCORED,
            joined.novelty[picks],
            joined.size[picks],
            joined.reach[picks],
            joined.scores[picks],
            joined.offsets[picks],
        )
        for said in groups.process(self.table, parts, shown):
            due = self.notifications.decide(said.groups, said.times, said.before, said.status)
            self._notify(joined, due, picks[said.picks], said.groups, said.times, said.status)
            self.progress()

    def _notify(self, joined: Joined, due: Due, picks: Int64, rows: Rows, times: Float64, status: Uint8) -> None:
        """Record the due alerts of these rows, which the samples at `picks` changed."""
        joined.muted += [(int(picks[at]), interval) for at, interval in due.muted]
        for at in due.to_send:
            pick, changed = int(picks[at]), AlertStatus(status[at])
            partition = joined.partition_of(pick)
            alert = self.notifications.alert(partition, int(rows[at]), changed, float(times[at]))
            joined.alerts.append((pick, alert))

    def _round(self, joined: Joined, picks: Int64, rows: Rows) -> None:
        state, forecaster = self.table.columns, joined.forecaster
        verdicts = judge(joined.times[picks], state[LATEST.name][rows])
        if verdicts.any():
            joined.outcomes[picks] = verdicts
            picks, rows = picks[verdicts == Outcome.SCORED], rows[verdicts == Outcome.SCORED]
        if not len(picks):
            return
        times, values = joined.times[picks], joined.values[picks]
        self._end_silence(joined, picks, rows, times)
        values = self.rates.values(state, rows, times, values, joined.kinds[picks])
        starts = np.isnan(values)
        if starts.any():
            joined.outcomes[picks[starts]] = Outcome.COUNTER_START
            state[LATEST.name][rows[starts]] = times[starts]
            picks, rows, times, values = picks[~starts], rows[~starts], times[~starts], values[~starts]
            if not len(picks):
                return

        self._restart_dominated(forecaster, rows)
        forecast = forecaster.stored(state, rows)
        score = self.scorer.score(state, rows, times, values, forecast.loc, forecast.scale)

        seen = Observation(
            times, values, score.expected, score.lower, score.upper, score.anomaly_score, joined.offsets[picks]
        )
        before = state["alert.status"][rows]
        status = self.lifecycle.decide(state, rows, seen)
        due = self.notifications.decide(rows, times, before, status)

        self.scorer.learn(state, rows, times, values, score)
        frozen = (status == AlertStatus.FIRING) & (times - state["alert.starts_at"][rows] <= self.freeze_seconds)
        frozen &= state[DELIVERY.name][rows] != Delivery.MUTED
        learnt = forecaster.learn(state, rows, times, score.believed, frozen)
        if self.recorder is not None:
            self.recorder.take(state, rows)
        state[LATEST.name][rows] = times
        self._notify(joined, due, picks, rows, times, status)
        forecaster.forecast(state, rows, learnt)

        joined.outcomes[picks] = np.where(score.warming, Outcome.WARMUP, Outcome.SCORED)
        joined.expected[picks] = score.expected
        joined.lower[picks], joined.upper[picks] = score.lower, score.upper
        joined.scores[picks] = score.anomaly_score
        joined.statuses[picks] = status
        if self.onlooker is not None:
            found = (values, score.expected, score.lower, score.upper, score.anomaly_score, times)
            self.onlooker(rows, found, self.table.key)
        if self.groups is not None:
            joined.novelty[picks], joined.size[picks], joined.reach[picks] = score.novelty, score.size, score.reach

    def _end_silence(self, joined: Joined, picks: Int64, rows: Rows, times: Float64) -> None:
        """End what was silent for too long before these samples, as of its last sample: open alerts, whole streams."""
        silence_B = self.table.silence(rows, times)
        idle_B, stale_B = silence_B > self.table.idle_expiry_seconds, silence_B > self.lifecycle.max_firing_seconds
        if not (idle_B | stale_B).any():
            return
        stale_B &= self.table.columns["alert.status"][rows] == AlertStatus.FIRING
        for at in np.flatnonzero(idle_B | stale_B).tolist():
            pick = int(picks[at])
            self._end_alerts(joined, joined.partition_of(pick), pick, rows[at : at + 1])
        self.table.restart(rows[idle_B])

    def _restart_dominated(self, forecaster: Forecaster, rows: Rows) -> None:
        """Restart streams whose warmup was dominated by an absurd value; they learn from the current sample on."""
        state = self.table.columns
        restarted = rows[self.scorer.is_warmup_dominated(state, rows)]
        if len(restarted):
            reset(forecaster.fields, state, restarted)
            self.scorer.restart(state, restarted)

    def _expire_idle(self, joined: Joined, partition: Partition, pick: int) -> None:
        """Forget idle and surplus streams, and end stale alerts, before the sample at `pick` advances event time."""
        now = self.table.event_time(partition).newest
        expired = self.table.idle_rows(partition, now)
        self._forget(joined, partition, pick, expired)
        self.table.expired += len(expired)
        evicted = self.table.surplus_rows(partition, now)
        self._forget(joined, partition, pick, evicted)
        self.table.evicted += len(evicted)
        if self.groups is not None:
            leading = self.groups.reset_leading(self.table, partition, now)
            self._end_alerts(joined, partition, pick, leading)
        self._end_alerts(joined, partition, pick, self._stale(partition, now))

    def _stale(self, partition: Partition, now: float) -> Rows:
        """Streams and groups with an open alert whose last sample is `max_firing_seconds` ago."""
        rows, state = self.table.occupied(partition), self.table.columns
        rows = rows[state["alert.status"][rows] == AlertStatus.FIRING]
        stale: Rows = rows[now - state[LATEST.name][rows] > self.lifecycle.max_firing_seconds]
        return stale

    def _end_alerts(self, joined: Joined, partition: Partition, pick: int, rows: Rows) -> None:
        """End the alerts of these rows as of their last samples; the sample at `pick` is the reason."""
        joined.alerts += [(pick, alert) for alert in self.notifications.ended(partition, rows)]
        self.lifecycle.forget(self.table.columns, rows)
        self.notifications.forget(rows)

    def _forget(self, joined: Joined, partition: Partition, pick: int, streams: Rows) -> None:
        rows = self.table.with_childless_groups(partition, streams)
        self._end_alerts(joined, partition, pick, rows)
        self.table.release(partition, rows)
