"""Poll a source as the worker does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from detector.errors import BrokerUnreachable
from detector.protocols import AssignmentChanges, SkippedRange
from detector.records import RawBatch
from detector.sinks.kafka import KafkaSink
from detector.sources.kafka import KafkaSource
from tests.kafka.endpoint import PATIENCE_SECONDS

MakeSource = Callable[..., KafkaSource]
MakeSink = Callable[..., KafkaSink]
Found = TypeVar("Found")


def once_answered(step: Callable[[], Found]) -> Found:
    """The result or error of `step`, repeated while brokers do not answer in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return step()
        except BrokerUnreachable:
            if time.monotonic() > deadline:
                raise


def poll(source: KafkaSource) -> list[RawBatch]:
    """Poll, again when a broker does not answer in time."""
    try:
        return source.poll(0.1)
    except BrokerUnreachable:
        return []


def drive(source: KafkaSource, until: Callable[[], bool], timeout_seconds: float = PATIENCE_SECONDS) -> list[RawBatch]:
    """Poll and resume what is assigned, until the condition holds."""
    batches: list[RawBatch] = []
    deadline = time.monotonic() + timeout_seconds
    while not until():
        assert time.monotonic() < deadline, f"not there in time: lag {source.lag()}, ends {source.ends()}"
        batches += poll(source)
        source.resume(source.changes().assigned)
    return batches


def read(source: KafkaSource, count: int, timeout_seconds: float = PATIENCE_SECONDS) -> list[RawBatch]:
    """Poll until `count` records have come."""
    batches: list[RawBatch] = []
    deadline = time.monotonic() + timeout_seconds
    while sum(map(len, batches)) < count:
        assert time.monotonic() < deadline, f"{sum(map(len, batches))} of {count} records came"
        batches += poll(source)
        source.resume(source.changes().assigned)
    assert sum(map(len, batches)) == count
    return batches


def settle(source: KafkaSource, timeout_seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until the source is a member and no rebalance is due: the next poll joins none, and commits work."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        poll(source)
        changes = source.changes()
        source.resume(changes.assigned)
        if source._consumer._coordinator.stable() and not changes.imminent:
            return
        assert time.monotonic() < deadline, "the group did not settle"


def values(batches: list[RawBatch]) -> list[bytes | None]:
    return [value for batch in batches for value in batch.values]


def nothing_comes(source: KafkaSource, seconds: float = 0.5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if poll(source):
            return False
    return True


def drive_until_skipped(source: KafkaSource) -> tuple[list[RawBatch], list[SkippedRange]]:
    """Poll and resume until the source reports skipped ranges: the batches so far, and the ranges."""
    skipped: list[SkippedRange] = []

    def has_skipped() -> bool:
        skipped.extend(source.skipped())
        return bool(skipped)

    return drive(source, until=has_skipped), skipped


def wait_for_change(source: KafkaSource, seconds: float = PATIENCE_SECONDS) -> AssignmentChanges:
    """The next change of the assignment; the announcement of a rebalance does not count."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        poll(source)
        changes = source.changes()
        if changes.assigned or changes.revoked or changes.lost:
            return changes
    raise AssertionError("no rebalance")
