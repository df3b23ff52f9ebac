"""A registry in which every metric series of the daemon exists, as after some minutes of varied work."""

from collections.abc import Mapping

import numpy as np

from detector.config.telemetry import ShownStreams
from detector.protocols import AssignmentChanges, SkippedRange
from detector.records import (
    Alert,
    AlertStatus,
    Direction,
    Outcome,
    Partition,
    RawBatch,
    Reject,
    SampleBatch,
    ScoredBatch,
    Severity,
)
from detector.series import SeriesKey
from detector.telemetry import Metrics, StreamCounts

NOW = 1_700_000_000.0
TOPIC = "metrics"


def decoded(count: int, partition: int = 0, start: float = NOW, rejects: int = 0) -> SampleBatch:
    """`count` samples, a second apart."""
    return SampleBatch(
        topic=TOPIC,
        partition=partition,
        series=np.zeros(count, dtype=np.int64),
        times=start + np.arange(count, dtype=np.float64),
        values=np.ones(count),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(count, dtype=np.int64),
        record_times=np.full(count, np.nan),
        rejects=tuple(Reject(TOPIC, partition, n, "not_json", "", b"x", None) for n in range(rejects)),
    )


def verdicts(
    outcomes: list[Outcome], scores: list[float], alerts: tuple[Alert, ...] = (), muted: tuple[str, ...] = ()
) -> ScoredBatch:
    """A verdict for each outcome."""
    count = len(outcomes)
    nan = np.full(count, np.nan)
    return ScoredBatch(
        outcomes=np.array(outcomes, dtype=np.uint8),
        expected=nan,
        lower=nan,
        upper=nan,
        scores=np.array(scores, dtype=np.float64),
        statuses=np.zeros(count, dtype=np.uint8),
        alerts=alerts,
        muted=muted,
    )


def alert(status: AlertStatus, severity: Severity = Severity.WARNING) -> Alert:
    """An alert of any stream."""
    return Alert(
        id="a",
        status=status,
        series=SeriesKey.of("cpu"),
        starts_at=NOW,
        ends_at=None,
        time=NOW,
        worst_time=NOW,
        value=1.0,
        expected=0.0,
        lower=-1.0,
        upper=0.5,
        anomaly_score=1.5,
        direction=Direction.ABOVE,
        severity=severity,
        topic=TOPIC,
        partition=0,
        offset=1,
        model="default",
        forecaster="lstm",
        skill=0.8,
    )


def counts(
    tracked: int = 1_000, expired: int = 0, partitions: Mapping[Partition, tuple[float, int]] | None = None
) -> StreamCounts:
    return StreamCounts(
        tracked=tracked,
        limit=100_000,
        fullest=tracked / 100_000,
        warmup=tracked // 10,
        active=tracked - tracked // 50,
        fallback=tracked // 5,
        firing=3,
        pending=1,
        blocks=-(-tracked // 256),
        state_bytes=tracked * 4_096,
        expired=expired,
        evicted=expired // 2,
        partitions=partitions or {},
        skill=np.linspace(0.5, 1.2, tracked),
    )


def show_one(metrics: Metrics, now: float) -> None:
    """A chosen stream gets a sample."""
    key = SeriesKey.of("cpu", {"host": "a"})
    metrics.shown.follow(ShownStreams(match=["cpu*"]))
    metrics.shown.choose(lambda: [((TOPIC, 0), 0, key)], key, lambda: 0.0)
    metrics.shown.see(
        np.array([0]), tuple(np.array([number]) for number in (5.0, 4.0, 3.0, 6.0, 0.7, now)), lambda _: key
    )


def populate(metrics: Metrics, partitions: int = 3, tracked: int = 1_000, now: float = NOW) -> None:
    """Count one of everything."""
    owned = frozenset((TOPIC, number) for number in range(partitions))
    metrics.observe_changes(AssignmentChanges(assigned=owned), assigned=partitions)
    metrics.streams.model.info({"name": "lstm-32-0123456789ab", "device": "cpu"})
    metrics.alerts.budget.set(0.1)
    metrics.observe_streams(counts(tracked, expired=2, partitions=dict.fromkeys(owned, (now, tracked // partitions))))
    metrics.source.observe_lag(dict.fromkeys(owned, 10))
    metrics.source.observe_skipped([SkippedRange(TOPIC, 0, 5, 9, "corrupt")])
    metrics.source.observe_error("broker_unreachable")
    for number in range(partitions):
        batch = decoded(len(Outcome) * 10, number, start=now - 90.0, rejects=2)
        metrics.source.observe_records(
            RawBatch(TOPIC, number, batch.offsets, batch.record_times, [b"{}", None], [None, None])
        )
        metrics.observe_decoded(batch)
        fired = (alert(AlertStatus.FIRING), alert(AlertStatus.RESOLVED, Severity.CRITICAL)) if number == 0 else ()
        metrics.observe_scored(batch, verdicts(list(Outcome) * 10, [1.5] * len(batch), fired, ("not_before",)), now)
    metrics.observe_delivered(np.array([now - 0.2]), now)
    metrics.observe_checkpoint(0.03, now, dict.fromkeys(owned, 90))
    metrics.worker.checkpoint_failures.inc(0)
    for sink in ("kafka", "dead_letter"):
        metrics.worker.sink_messages.labels(sink).inc()
        metrics.worker.sink_failures.labels(sink).inc(0)
    metrics.worker.sink_waiting.labels("alertmanager").set(1)
    show_one(metrics, now)
    metrics.worker.log_lines.labels("info").inc(5)
    for stage, seconds in {"poll": 3.0, "decode": 1.0, "pipeline": 5.0, "sink": 0.1, "checkpoint": 0.3}.items():
        metrics.worker.stage_seconds.labels(stage).inc(seconds)
