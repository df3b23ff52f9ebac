"""Fakes that ship with the package: small working implementations of the protocols, for tests here and elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import TextIO

import numpy as np
import structlog
from structlog.typing import FilteringBoundLogger

from detector.columns import Bool, Columns, Field, Rows
from detector.errors import DeliveryError, StateUnavailable
from detector.protocols import AssignmentChanges, Forecast, Learnt, Message, SkippedRange
from detector.records import UNKNOWN_LINEAGE, Float64, Lineage, Partition, RawBatch, Uint8


class ManualClock:
    """A clock that moves only by `advance` and `sleep`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def log_to(file: TextIO) -> FilteringBoundLogger:
    """A logger that writes `key=value` lines to `file`, however the process's logging is configured."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(file),
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        context_class=dict,
        cache_logger_on_first_use=False,
    )
    return log


class _FakeSource:
    """What the sources below share: pending assignment changes and resumed partitions."""

    def __init__(self, changes: AssignmentChanges) -> None:
        self.pending_changes = [changes]
        self.resumed: set[Partition] = set()
        self.lineages: dict[Partition, Lineage] = {}

    def lineage(self, partition: Partition) -> Lineage:
        return self.lineages.get(partition, UNKNOWN_LINEAGE)

    def changes(self) -> AssignmentChanges:
        return self.pending_changes.pop(0) if self.pending_changes else AssignmentChanges()

    def skipped(self) -> list[SkippedRange]:
        return []

    def resume(self, partitions: frozenset[Partition]) -> None:
        self.resumed |= partitions

    def pause(self, partitions: frozenset[Partition]) -> None:
        self.resumed -= partitions


class ListSource(_FakeSource):
    """Delivers one of the given lists of batches per poll; an exception among them is raised instead."""

    def __init__(
        self, polls: Sequence[list[RawBatch] | Exception], partitions: frozenset[Partition] | None = None
    ) -> None:
        super().__init__(AssignmentChanges(assigned=partitions or frozenset(), settled=True))
        self.polls = list(polls)
        self.committed: dict[Partition, int] = {}
        self.commits: list[dict[Partition, int]] = []
        self.closed = False
        self.sought: dict[Partition, int] = {}

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        if not self.polls:
            return []
        batches = self.polls.pop(0)
        if isinstance(batches, Exception):
            raise batches
        return batches

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        self.sought[partition] = offset

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.update(offsets)
        self.commits.append(dict(offsets))

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def ends(self) -> Mapping[Partition, int]:
        return {}

    @property
    def exhausted(self) -> bool:
        return not self.polls

    def close(self, timeout_seconds: float) -> None:
        self.closed = True


class LogSource(_FakeSource):
    """A topic as a broker keeps it: only `committed` survives the process, for its successor.

    Delivers nothing from a partition until it is resumed, then `sizes()` records from each per poll. Records enter the
    log as they are read: it ends after what this source or, through `written`, a predecessor has read.
    """

    def __init__(
        self,
        log: Mapping[Partition, Sequence[bytes]],
        committed: dict[Partition, int],
        sizes: Callable[[], int] = lambda: 100,
        written: dict[Partition, int] | None = None,
    ) -> None:
        super().__init__(AssignmentChanges(assigned=frozenset(log)))
        self.log = log
        self.committed = committed
        self.sizes = sizes
        self.positions = {partition: committed.get(partition, 0) for partition in log}
        self.written = {} if written is None else written

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        batches = []
        for partition in sorted(self.resumed):
            first = self.positions[partition]
            values = self.log[partition][first : first + self.sizes()]
            if values:
                self.positions[partition] += len(values)
                self.written[partition] = max(self.written.get(partition, 0), self.positions[partition])
                offsets, times = np.arange(first, first + len(values)), np.full(len(values), np.nan)
                batches.append(RawBatch(*partition, offsets, times, list(values), [None] * len(values)))
        return batches

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        self.positions[partition] = offset
        self.lineages[partition] = lineage

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.update(offsets)

    def lag(self) -> Mapping[Partition, int]:
        return {partition: len(self.log[partition]) - at for partition, at in self.positions.items()}

    def ends(self) -> Mapping[Partition, int]:
        return {partition: self.written.get(partition, 0) for partition in self.log}

    @property
    def exhausted(self) -> bool:
        return not self.pending_changes and not any(self.lag().values())

    def close(self, timeout_seconds: float) -> None:
        """Nothing is open."""


class MemoryStore:
    """Keeps blobs in a dict that outlives it, `durable`. Changes get there with `flush`, or by chance in a `crash`.

    `chance` decides for each pending write or deletion whether the crash finds it done.
    """

    def __init__(self, durable: dict[Partition, dict[str, bytes]], chance: Callable[[], bool] = lambda: False) -> None:
        self.durable = durable
        self.chance = chance
        self.pending: list[tuple[Partition, str, bytes | None]] = []
        self.fail = False

    def opening(self, partition: Partition) -> Generator[None, None, Mapping[str, bytes]]:
        yield
        return dict(self.durable.get(partition, {}))

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        self.pending.append((partition, name, blob))

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        self.pending += [(partition, name, None) for name in names]

    @property
    def in_flight(self) -> int:
        return 0

    def flush(self, timeout_seconds: float) -> None:
        if self.fail:
            raise StateUnavailable("told to fail")
        pending, self.pending = self.pending, []
        for change in pending:
            self._apply(*change)

    def crash(self) -> None:
        """Crash: only some of the pending changes become durable."""
        for change in self.pending:
            if self.chance():
                self._apply(*change)
        self.pending = []

    def close(self, timeout_seconds: float) -> None:
        """Nothing is open."""

    def _apply(self, partition: Partition, name: str, blob: bytes | None) -> None:
        blobs = self.durable.setdefault(partition, {})
        if blob is None:
            blobs.pop(name, None)
        else:
            blobs[name] = blob


class ListSink:
    """Keeps what it is given; flushes fail while `fail` is set."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.acknowledged: list[Message] = []
        self.fail = False
        self.closed = False

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def flush(self, timeout_seconds: float) -> None:
        if self.fail:
            raise DeliveryError("told to fail")
        self.acknowledged = list(self.sent)

    def close(self, timeout_seconds: float) -> None:
        self.closed = True


class LastValueForecaster:
    """Persistence: predicts the last value, with a running mean of the absolute differences as scale."""

    fields: tuple[Field, ...] = (
        Field("last.value", dtype="float64", initial=np.nan),
        Field("last.error", dtype="float64"),
    )
    names: tuple[str, ...] = ("none", "last_value")

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        return Forecast(state["last.value"][rows], np.maximum(state["last.error"][rows], 1e-12))

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64, frozen: Bool | None = None) -> None:
        last = state["last.value"][rows]
        error = np.where(np.isnan(last), 0.0, np.abs(values - last))
        state["last.error"][rows] += (error - state["last.error"][rows]) / 50.0
        state["last.value"][rows] = values

    def forecast(self, state: Columns, rows: Rows, learnt: Learnt | None = None) -> None:
        """Nothing to do: what `learn` stored is the forecast."""

    def skill(self, state: Columns, rows: Rows) -> Float64:
        return np.ones(len(rows))

    def fallback(self, state: Columns, rows: Rows) -> Uint8:
        return np.ones(len(rows), dtype=np.uint8)
