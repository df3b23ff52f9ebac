"""The order of durability. Nothing is committed that was not acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from detector.protocols import Sink, Source
from detector.records import Partition


def checkpoint(source: Source, sinks: Iterable[Sink], positions: Mapping[Partition, int], timeout_seconds: float) -> None:
    """Make everything before `positions` durable. Raises DeliveryError or SourceError; what came before it then holds.

    1. Every alert and dead letter that was handed over is acknowledged.
    2. The offset behind the last record whose effects those are is committed.

    A crash between the two repeats alerts with equal ids; it never loses one.
    """
    for sink in sinks:
        sink.flush(timeout_seconds)
    if positions:
        source.commit(positions)
