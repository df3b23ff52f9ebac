"""Every interface between stages, on one screen. Implementations need not inherit.

One thread, the worker's, calls all of them, unless a docstring says otherwise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from detector.columns import Bool, Columns, Field, Rows
from detector.records import UNKNOWN_LINEAGE, Alert, Float64, Lineage, Partition, RawBatch, Reject, SampleBatch, Uint8
from detector.series import SeriesIndex


@dataclass(frozen=True, slots=True)
class AssignmentChanges:
    """What rebalances did since the last question, in sum: a partition that stays is not mentioned."""

    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()
    """Given up in order: their effects may still be committed."""
    lost: frozenset[Partition] = frozenset()
    """Taken away: somebody else may own them already, nothing may be committed."""
    settled: bool = False
    """The assignment is known, and may well be empty: a spare member has joined too."""
    imminent: bool = False
    """The next poll joins a rebalance: what was read until now can still be made durable before partitions go."""


@dataclass(frozen=True, slots=True)
class SkippedRange:
    """Offsets [first, last] that a source stepped past because no client can read them."""

    topic: str
    partition: int
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink is asked to deliver."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = dataclasses.field(default=())
    partition: int | None = None
    """Where to; None where the key decides."""


class Clock(Protocol):
    """Injected time, so that timers can be tested."""

    def time(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; returns early only for an exception."""
        ...


class Source(Protocol):
    """Where records come from."""

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """Batches of distinct partitions; empty after the timeout. Raises SourceError; poll again if `retriable`."""
        ...

    def changes(self) -> AssignmentChanges:
        """Assignments since the last call. An assigned partition delivers nothing until `resume`d."""
        ...

    def skipped(self) -> list[SkippedRange]:
        """Ranges stepped past since the last call."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Start or go on delivering; the position is the committed offset, unless `seek` said otherwise."""
        ...

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Deliver nothing from these until `resume`d; positions stay."""
        ...

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """The next record delivered from `partition` is the one at `offset`, or the first behind it.

        Where `lineage` says that the offset is of another log, the next `poll` finds the position lost.
        """
        ...

    def lineage(self, partition: Partition) -> Lineage:
        """Of the position behind the last record delivered, or sought."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Make durable that everything *before* each offset is done. Partitions not assigned any more are ignored."""
        ...

    def lag(self) -> Mapping[Partition, int]:
        """Records between the position and the end, as last heard; never blocks."""
        ...

    @property
    def exhausted(self) -> bool:
        """True when there will never be another record (files read to their end)."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Leave in order; idempotent."""
        ...


class Decoder(Protocol):
    """Bytes to columns."""

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        """Samples of all records that can be read, and a `Reject` for each that cannot. Never raises on bytes.

        `series` belongs to the batch's partition; the handles in the result are its.
        """
        ...


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a stream's next value is expected to be; [B] each, in the units of the value."""

    loc: Float64
    """NaN before the first forecast."""
    scale: Float64
    """Typical size of the error, > 0."""


class Forecaster(Protocol):
    """One-step-ahead forecasts of every stream, made from its own past."""

    fields: tuple[Field, ...]
    names: tuple[str, ...]
    """Names of the forecasters that a stream may be using, by the code of `fallback`; the first is the model's."""

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        """The forecasts made at each row's last sample. Reads only."""
        ...

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        """Take in one sample a row. What is learnt of a stream for good is not to change where it is `frozen`."""
        ...

    def forecast(self, state: Columns, rows: Rows) -> None:
        """Forecast each row's next sample and store it."""
        ...

    def skill(self, state: Columns, rows: Rows) -> Float64:
        """[B] recent error over that of the last-value forecast; below 1 the forecaster helps."""
        ...

    def fallback(self, state: Columns, rows: Rows) -> Uint8:
        """[B] index into `names`: 0 where the model is used, else the naive forecast that stands in for it."""
        ...


class Recorder(Protocol):
    """Remembers what some streams are forecast from."""

    def take(self, state: Columns, rows: Rows) -> None:
        """Each of these streams has just learnt a sample and is about to be forecast. Reads only."""
        ...


@dataclass(frozen=True, slots=True)
class LearntWeights:
    """Weights of the forecaster's network that did not come with it."""

    sha256: str
    tensors: bytes
    """As safetensors; what `sha256` is of."""


class WeightsInUse(Protocol):
    """Which weights the streams of each partition are forecast with: those now, then those before them, if kept.

    An empty tuple stands for the weights that the worker was configured with.
    """

    def coming(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """What the next snapshot should name: from its offset on these are used."""
        ...

    def now(self, partition: Partition) -> tuple[LearntWeights, ...]:
        """What is used."""
        ...

    def use(self, partition: Partition, weights: tuple[LearntWeights, ...]) -> None:
        """From the next record on. Raises ModelError for weights of another network."""
        ...

    def forget(self, partition: Partition) -> None:
        """The partition is not ours any more."""
        ...


class Sink(Protocol):
    """Where messages go. At-least-once: `flush` returning is the only proof of delivery."""

    def send(self, message: Message) -> None:
        """Hand over; may block for as long as the bound on what is in flight says. Raises DeliveryError."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for every acknowledgement. Raises DeliveryError if one is missing or negative."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not stand in for `flush`."""
        ...


class StateStore(Protocol):
    """Named blobs of a partition, each written once under a name that never comes again. Raises StateUnavailable.

    `write` and `delete` only hand over; `flush` returning is the only proof that what was handed over is durable.
    """

    def open(self, partition: Partition, progress: Callable[[], None] = lambda: None) -> Mapping[str, bytes]:
        """Everything that is durable by now, whoever wrote it; a value may be read when it is asked for.

        `progress` hears of each part where reading takes a while.
        """
        ...

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        """May block while much is on its way."""
        ...

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        """Nothing refers to these any more; what survives a crash is found and deleted later."""
        ...

    @property
    def in_flight(self) -> int:
        """Writes, not deletions, that were handed over and are not known to be durable; never blocks."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Wait for everything handed over. After an error the store is not to be used any more."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent; does not stand in for `flush`."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds of one partition."""

    partition: Partition
    blobs: Mapping[str, bytes]
    """A value may be read when it is asked for."""
    written_at: Mapping[str, float]
    """Unix time at which each blob was written, by the store's own clock."""


class StateReader(Protocol):
    """A look into a store from outside, where a worker may be at work. Writes nothing. Raises StateUnavailable."""

    def partitions(self) -> Iterator[Stored]:
        """Every input partition of the consumer group that there is anything of."""
        ...

    def open(self, partition: Partition) -> Stored:
        """One of them; no blobs where there is nothing of it."""
        ...

    def close(self, timeout_seconds: float) -> None:
        """Idempotent."""
        ...


class AlertEncoder(Protocol):
    """An alert to the record that subscribers read."""

    def __call__(self, alert: Alert) -> Message: ...


class RejectEncoder(Protocol):
    """A record that could not be decoded to its dead letter."""

    def __call__(self, reject: Reject) -> Message: ...
