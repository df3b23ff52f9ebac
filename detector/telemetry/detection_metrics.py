"""Metrics of detection: the outcomes of samples, scores, alerts, and the streams behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from prometheus_client import Info

from detector.records import AlertStatus, Float64, Outcome, Partition, SampleBatch, ScoredBatch, Severity
from detector.telemetry.families import PARTITION, PREFIX, Families, partition_labels

OUTCOMES = ("scored", "warmup", "late", "duplicate", "discarded", "dead_lettered")
WEEK_SECONDS = 604_800.0
DELAY_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400)
SCORE_BOUNDS = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.25, 1.5, 2, 3, 5, 10)
SKILL_BOUNDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1, 1.05, 1.1, 1.2, 1.5, 2, 5)


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """What the stream table holds now."""

    tracked: int
    limit: int
    """Streams that the owned partitions may have together."""
    fullest: float
    """Share of its limit that the fullest partition has reached."""
    warmup: int
    active: int
    """Streams heard from within five of their usual intervals."""
    fallback: int
    """Streams that are forecast naively because the model does worse."""
    firing: int
    pending: int
    blocks: int
    state_bytes: int
    expired: int
    """Since the process started."""
    evicted: int
    """Since the process started."""
    split: int = 0
    """Streams that began while their series had one on another partition; since the process started."""
    partitions: Mapping[Partition, tuple[float, int]] = field(default_factory=dict)
    """Partition -> (event time in unix seconds, -inf before the first sample; number of streams)."""
    skill: Float64 = field(default_factory=lambda: np.empty(0))
    """[streams] forecast error divided by the last-value forecast's; NaN while unknown."""


class SampleMetrics:
    """Accounting: between batches, consumed equals the sum of the outcomes."""

    def __init__(self, make: Families) -> None:
        self.consumed = make.counter(
            "samples_consumed", "Samples decoded, and one for each record that could not be decoded."
        )
        self.outcomes = make.counter("samples", "Samples by outcome.", "outcome")
        self.discarded = make.counter("samples_discarded", "Samples with the outcome discarded.", "reason")
        self.routed = make.counter("samples_routed", "Samples written to the internal topic.")
        self.anomalous = make.counter("samples_anomalous", "Samples with an anomaly_score above 1.")
        self.scores = make.column_histogram("anomaly_score", "anomaly_score of scored samples.", SCORE_BOUNDS)
        self.delay = make.column_histogram(
            "sample_delay_seconds", "Time from a sample's timestamp to its verdict.", DELAY_BOUNDS
        )
        for outcome in OUTCOMES:
            self.outcomes.labels(outcome)
        for reason in (outcome for outcome in Outcome if outcome.is_discard):
            self.discarded.labels(reason.name.lower())

    def observe_decoded(self, batch: SampleBatch) -> None:
        """Count a decoded batch. A record that could not be decoded counts as one sample, so that none goes missing."""
        self.consumed.inc(len(batch))
        self.observe_rejects(len(batch.rejects))

    def observe_rejects(self, count: int) -> None:
        """Count records that could not be decoded."""
        self.consumed.inc(count)
        self.outcomes.labels("dead_lettered").inc(count)

    def observe_scored(self, batch: SampleBatch, scored: ScoredBatch, now: float) -> None:
        """Count a batch whose verdicts were reached at `now`, in unix seconds."""
        counts = np.bincount(scored.outcomes)
        for outcome in map(Outcome, np.flatnonzero(counts).tolist()):
            word, count = outcome.name.lower(), int(counts[outcome])
            if outcome.is_discard:
                self.discarded.labels(word).inc(count)
            self.outcomes.labels("discarded" if outcome.is_discard else word).inc(count)
        is_scored = scored.outcomes == Outcome.SCORED
        scores = scored.scores[is_scored]
        self.anomalous.inc(int(np.count_nonzero(scores > 1.0)))
        self.scores.observe(scores)
        judged = is_scored | (scored.outcomes == Outcome.WARMUP)
        self.delay.observe(np.maximum(now - batch.times[judged], 0.0))  # a clock may be ahead, but a sum must not fall

    def totals(self) -> dict[str, int]:
        """Samples since the process started, by outcome as in the counter's label; zeros are left out."""
        samples = (sample for family in self.outcomes.collect() for sample in family.samples)
        return {one.labels["outcome"]: int(one.value) for one in samples if one.value}


class AlertMetrics:
    """Alerts, and their rate per stream against the budget. A stream is watched while event time advances."""

    def __init__(self, make: Families) -> None:
        self.alerts = make.counter(
            "alerts", "Alerts that started firing or were resolved.", "kind", "status", "severity"
        )
        self.muted = make.counter("alerts_muted", "Alerts that started within a mute interval.", "interval")
        self.firing = make.gauge("alerts_firing", "Streams and groups whose alert is firing.")
        self.pending = make.gauge("alerts_pending", "Streams and groups whose alert is pending.")
        self.delay = make.column_histogram(
            "alert_delay_seconds", "Time from the sample that changed an alert to the alert's delivery.", DELAY_BOUNDS
        )
        self.budget = make.gauge("alert_budget_per_stream_week", "Alert budget: alerts allowed per stream and week.")
        self.rate = make.gauge(
            "alert_rate_per_stream_week", "Streams' own alerts per watched stream and week since the worker started."
        )
        self.watched = make.counter("stream_watched_seconds", "Event time watched, summed over streams.")
        self.newest = make.gauge("event_timestamp_seconds", "Event time of the partition.", *PARTITION)
        self._newest: dict[Partition, float] = {}
        self._fired = 0
        self._watched = 0.0
        for kind, status, severity in product(("stream", "group"), ("firing", "resolved"), Severity):
            self.alerts.labels(kind, status, severity.value)

    def observe_scored(self, scored: ScoredBatch) -> None:
        """Count the alerts."""
        for alert in scored.alerts:
            kind = "group" if alert.series.is_group else "stream"
            self.alerts.labels(kind, alert.status.name.lower(), alert.severity.value).inc()
            self._fired += alert.status == AlertStatus.FIRING and not alert.series.is_group
        for interval in scored.muted:
            self.muted.labels(interval).inc()

    def observe_counts(self, now: StreamCounts) -> None:
        """Set what fires now, and add the event time watched since the last call."""
        self.firing.set(now.firing)
        self.pending.set(now.pending)
        for partition, (newest, streams) in now.partitions.items():
            if math.isinf(newest):
                continue
            passed = max(0.0, newest - self._newest.get(partition, newest)) * streams
            self._newest[partition] = newest
            self.newest.labels(*partition).set(newest)
            self._watched += passed
            self.watched.inc(passed)
        if self._watched:
            self.rate.set(self._fired * WEEK_SECONDS / self._watched)

    def observe_delivered(self, times: Float64, now: float) -> None:
        """Note alerts changed by samples at `times` and acknowledged at `now`, all in unix seconds."""
        self.delay.observe(np.maximum(now - times, 0.0))

    def forget(self, partitions: frozenset[Partition]) -> None:
        """Drop the series of partitions that this worker no longer owns."""
        for partition in partitions:
            if self._newest.pop(partition, None) is not None:
                self.newest.remove_by_labels(partition_labels(partition))


class StreamMetrics:
    """How many streams there are, and how well they are forecast."""

    def __init__(self, make: Families) -> None:
        self.tracked = make.gauge("streams", "Streams with state in this worker.")
        self.limit = make.gauge("streams_limit", "Limit of streams in this worker's partitions.")
        self.fullest = make.gauge(
            "streams_fullest_partition_ratio", "Streams of the fullest partition, as a share of its limit."
        )
        self.warmup = make.gauge("streams_warmup", "Streams in warmup, not scored yet.")
        self.active = make.gauge("streams_active", "Streams heard from within five of their usual intervals.")
        self.fallback = make.gauge("streams_fallback", "Streams forecast naively because the model does worse.")
        self.expired = make.counter("streams_expired", "Streams dropped because they were silent for too long.")
        self.evicted = make.counter("streams_evicted", "Streams of a full partition dropped in favour of new ones.")
        self.blocks = make.gauge("stream_blocks", "Blocks of 256 streams in use.")
        self.state_bytes = make.gauge("stream_state_bytes", "Memory held for the state of streams.")
        self.skill = make.column_distribution(
            "stream_skill",
            "Streams by forecast error over the last-value forecast's; below 1 the model helps.",
            SKILL_BOUNDS,
        )
        self.model = Info(PREFIX + "model", "The weights in use.", registry=make.registry)
        self.split = make.counter(
            "streams_split", "Streams created while their series had one on another partition of this worker."
        )
        self._expired = 0
        self._split = 0
        self._evicted = 0

    def observe_counts(self, now: StreamCounts) -> None:
        """Set what the stream table holds."""
        self.tracked.set(now.tracked)
        self.limit.set(now.limit)
        self.fullest.set(now.fullest)
        self.warmup.set(now.warmup)
        self.active.set(now.active)
        self.fallback.set(now.fallback)
        self.blocks.set(now.blocks)
        self.state_bytes.set(now.state_bytes)
        self.expired.inc(max(0, now.expired - self._expired))
        self.evicted.inc(max(0, now.evicted - self._evicted))
        self._expired, self._evicted = now.expired, now.evicted
        self.split.inc(max(0, now.split - self._split))
        self._split = now.split
        self.skill.set(now.skill)
