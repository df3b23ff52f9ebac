"""How long a fetch waits, and what one poll takes of the fetched records: as many of each partition.

The library hands out all records it holds of one partition before it moves to the next. A worker that lags would then
process one partition at a time, at twice the cost of processing several together.
"""

from __future__ import annotations

from typing import Any

from detector.kafka.client import milliseconds
from detector.sources.kafka.record_batch import Row

_FULL_FETCH_BYTES = 1 << 20
_IDLE_FETCH_SECONDS = 0.5

Taken = dict[Any, list[Row]]
"""Partition -> records in offset order."""


def waits(longest_seconds: float, most_bytes: int, timeout_seconds: float) -> dict[str, int]:
    """Consumer options: the broker answers a fetch at once if many records wait, otherwise after `longest_seconds`.

    With 0 it answers as soon as there is one record. A fetch stays well below `timeout_seconds`, that of a request.
    """
    gathers = longest_seconds > 0
    return {
        "fetch_min_bytes": min(_FULL_FETCH_BYTES, most_bytes) if gathers else 1,
        "fetch_max_wait_ms": milliseconds(
            min(longest_seconds if gathers else _IDLE_FETCH_SECONDS, timeout_seconds / 2)
        ),
    }


def drain(consumer: Any, taken: Taken, timeout_ms: int, most: int) -> None:
    """Wait for records, then add up to `most` of those fetched to `taken`, which must be empty.

    If this raises, the client has already handed out the records in `taken` and will not return them again.
    """
    share = max(1, most // max(1, len(consumer.assignment())))
    _in_line(consumer)
    _add(taken, consumer.poll(timeout_ms=timeout_ms, max_records=share))
    left = most - sum(map(len, taken.values()))
    since = {tp: len(rows) for tp, rows in taken.items()}
    held: list[Any] = []
    try:
        while left > 0:
            full = [tp for tp, count in since.items() if count >= share and tp not in held]
            consumer.pause(*full)
            held += full
            _in_line(consumer)
            more, _ = consumer._fetcher.fetched_records(min(share, left))
            _add(taken, more)
            for tp, rows in more.items():
                since[tp] = since.get(tp, 0) + len(rows)
                left -= len(rows)
            if not more:
                if not held:
                    return
                # Every partition with records left has had its share: give each another one.
                _release(consumer, held)
                since.clear()
    finally:
        _release(consumer, held)


def _add(taken: Taken, more: Taken) -> None:
    for tp, rows in more.items():
        taken.setdefault(tp, []).extend(rows)


def _release(consumer: Any, held: list[Any]) -> None:
    consumer.resume(*held)
    held.clear()


def _in_line(consumer: Any) -> None:
    """Clear the current records if drained: only then does the library return to those of a partition it had parked."""
    if not consumer._fetcher._next_partition_records:
        consumer._fetcher._next_partition_records = None
