"""Fakes that ship with the package: small true implementations of the protocols, for tests here and elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detector.columns import Columns, Field, Rows
from detector.errors import DeliveryError
from detector.protocols import AssignmentChanges, Forecast, Message, SkippedRange
from detector.records import Float64, Partition, RawBatch, Uint8


class ManualClock:
    """Time that moves when told to; sleeping moves it."""

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


class ListSource:
    """Delivers the given batches, one poll each; an exception among them is raised instead."""

    def __init__(self, polls: list[list[RawBatch] | Exception], partitions: frozenset[Partition] | None = None) -> None:
        self.polls = list(polls)
        self.committed: dict[Partition, int] = {}
        self.commits: list[dict[Partition, int]] = []
        self.closed = False
        self.pending_changes = [AssignmentChanges(assigned=partitions or frozenset(), settled=True)]
        self.resumed: set[Partition] = set()
        self.sought: dict[Partition, int] = {}

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        if not self.polls:
            return []
        batches = self.polls.pop(0)
        if isinstance(batches, Exception):
            raise batches
        return batches

    def changes(self) -> AssignmentChanges:
        return self.pending_changes.pop(0) if self.pending_changes else AssignmentChanges()

    def skipped(self) -> list[SkippedRange]:
        return []

    def resume(self, partitions: frozenset[Partition]) -> None:
        self.resumed |= partitions

    def pause(self, partitions: frozenset[Partition]) -> None:
        self.resumed -= partitions

    def seek(self, partition: Partition, offset: int) -> None:
        self.sought[partition] = offset

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.update(offsets)
        self.commits.append(dict(offsets))

    def lag(self) -> Mapping[Partition, int]:
        return {}

    @property
    def exhausted(self) -> bool:
        return not self.polls

    def close(self, timeout_seconds: float) -> None:
        self.closed = True


class ListSink:
    """Keeps what it is given; `fail` makes the next flush refuse."""

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
    """Persistence: the next value is the last one, give or take a running mean of the differences."""

    fields = (
        Field("last.value", dtype="float64", initial=np.nan),
        Field("last.error", dtype="float64"),
    )
    names: tuple[str, ...] = ("none", "last_value")

    def stored(self, state: Columns, rows: Rows) -> Forecast:
        return Forecast(state["last.value"][rows], np.maximum(state["last.error"][rows], 1e-12))

    def learn(self, state: Columns, rows: Rows, times: Float64, values: Float64) -> None:
        last = state["last.value"][rows]
        error = np.where(np.isnan(last), 0.0, np.abs(values - last))
        state["last.error"][rows] += (error - state["last.error"][rows]) / 50.0
        state["last.value"][rows] = values

    def forecast(self, state: Columns, rows: Rows) -> None:
        """What `learn` stored is the forecast."""

    def skill(self, state: Columns, rows: Rows) -> Float64:
        return np.ones(len(rows))

    def fallback(self, state: Columns, rows: Rows) -> Uint8:
        return np.ones(len(rows), dtype=np.uint8)
