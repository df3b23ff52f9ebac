"""What passes between stages: columns for samples, objects for rarer things.

Shape legend: R records of one partition, N samples decoded from them. Times are unix seconds (float64,
UTC), values float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from detector.series import SeriesKey

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Uint8 = npt.NDArray[np.uint8]

Partition = tuple[str, int]
"""(topic, partition number)."""


def partition_name(partition: Partition) -> str:
    """As commands and log lines write it.

    >>> partition_name(("metrics", 0))
    'metrics/0'
    """
    return f"{partition[0]}/{partition[1]}"


def partition_names(partitions: Iterable[Partition]) -> list[str]:
    """`partition_name` of each, by topic and number."""
    return [partition_name(partition) for partition in sorted(partitions)]


LARGEST_VALUE = 1e30
"""Largest magnitude of a sample: beyond it, arithmetic on single-precision state could overflow."""


def rfc3339(unix_seconds: float) -> str:
    """UTC with microseconds.

    >>> rfc3339(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Outcome(IntEnum):
    """What became of a sample; every consumed sample ends as exactly one of these.

    A sample still being processed is also `SCORED`.
    """

    SCORED = 0
    WARMUP = 1
    LATE = 2
    DUPLICATE = 3
    GAP = 4
    NOT_FINITE = 5
    OUT_OF_RANGE = 6
    BAD_TIMESTAMP = 7
    STREAM_LIMIT = 8
    COUNTER_START = 9

    @property
    def is_discard(self) -> bool:
        """Whether the sample is counted as `discarded`, with this name as the reason."""
        return self >= Outcome.GAP


class Kind(IntEnum):
    """What a value means: a level, or a running total."""

    GAUGE = 0
    COUNTER = 1


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Records of one partition in offset order, as the source read them."""

    topic: str
    partition: int
    offsets: Int64
    """[R] offset of each record; for files, the line number."""
    record_times: Float64
    """[R] time the record was written; NaN if the source has none."""
    values: list[bytes | None]
    """[R] payloads; None is a tombstone."""
    keys: list[bytes | None]
    """[R]"""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Which log an offset belongs to: in a recreated topic or a truncated log, it refers to other records."""

    topic_id: str = ""
    """Changes when a topic is deleted and created again; empty if unknown."""
    leader_epoch: int = -1
    """Epoch of the last record before the offset, or a later one; -1 if unknown."""


UNKNOWN_LINEAGE = Lineage()


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be decoded, on its way to the dead-letter topic."""

    topic: str
    partition: int
    offset: int
    reason: str
    """A word from a bounded set, used as a metric label."""
    detail: str
    value: bytes | None
    key: bytes | None


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples of one partition in record order. One record may hold many samples, or none."""

    topic: str
    partition: int
    series: Int64
    """[N] handles of the partition's `SeriesIndex`."""
    times: Float64
    """[N] event time."""
    values: Float64
    """[N]; meaningless where `outcomes` is GAP."""
    kinds: Uint8
    """[N] `Kind` of each sample."""
    outcomes: Uint8
    """[N] `Outcome` of each sample; a decoder sets only GAP (null), later stages the rest."""
    offsets: Int64
    """[N] offset of the record that held the sample."""
    record_times: Float64
    """[N] time at which that record was written."""
    rejects: tuple[Reject, ...] = ()

    def __len__(self) -> int:
        return len(self.series)


class AlertStatus(IntEnum):
    """The life of an alert; NONE means no alert."""

    NONE = 0
    PENDING = 1
    FIRING = 2
    RESOLVED = 3


class Direction(StrEnum):
    """The side of the expected band on which a value lies."""

    ABOVE = "above"
    BELOW = "below"


class Severity(StrEnum):
    """How far beyond the threshold; names as usual in Prometheus rules."""

    WARNING = "warning"
    CRITICAL = "critical"


class Delivery(IntEnum):
    """What subscribers know of an alert that has begun: the severity with which it was sent, or why it was not."""

    SENT_AS_WARNING = 0
    MUTED = 1
    LEFT_TO_GROUP = 2
    SENT_AS_CRITICAL = 3


ALERT_SENT = (Delivery.SENT_AS_WARNING, Delivery.SENT_AS_CRITICAL)


@dataclass(frozen=True, slots=True)
class Contributor:
    """A member of a group, with its largest score while the group's alert was open."""

    series: SeriesKey
    anomaly_score: float


@dataclass(frozen=True, slots=True)
class Alert:
    """A change of one stream's or group's alert that is sent to subscribers: firing or resolved."""

    id: str
    """Deterministic: the same episode has the same id after a replay."""
    status: AlertStatus
    series: SeriesKey
    starts_at: float
    ends_at: float | None
    time: float
    """Time of the sample that caused this change."""
    worst_time: float
    """Time of the episode's worst sample so far, which the fields below describe."""
    value: float
    expected: float
    lower: float
    upper: float
    anomaly_score: float
    direction: Direction
    severity: Severity
    topic: str
    partition: int
    offset: int
    model: str
    forecaster: str
    """Name of the model, or of the naive forecast used instead of it."""
    skill: float
    """Recent forecast error on this stream divided by the last-value forecast's; below 1, the model helps."""
    per_second: bool = False
    """The stream is a counter; value, expected, lower and upper are its increase per second."""
    members: int = 0
    """Streams of the group that were scored; 0 for a single stream's alert, or if none is left."""
    contributors: tuple[Contributor, ...] = ()
    """Members with the largest scores, largest first."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What the pipeline found for each sample of a `SampleBatch`, in the same order."""

    outcomes: Uint8
    expected: Float64
    """[N] forecast made before the value was seen; NaN if there was none."""
    lower: Float64
    upper: Float64
    scores: Float64
    """[N] anomaly_score; 0 if not scored."""
    statuses: Uint8
    """[N] `AlertStatus` after each sample; RESOLVED only on the sample that resolves."""
    alerts: tuple[Alert, ...] = ()
    muted: tuple[str, ...] = ()
    """For each alert that began to fire without being sent, the name of the interval that mutes it."""
