"""What one poll waits for, and takes of the records that the client holds: as many of one partition as of the other.

The library hands out all that it holds of one partition before it goes on to the next. A worker that is behind would
then work at one partition at a time, at twice the cost of working at several together.
"""

from __future__ import annotations

from typing import Any

from detector.kafka.client import milliseconds
from detector.sources.kafka.record_batch import Row

_FULL_FETCH_BYTES = 1 << 20
_IDLE_FETCH_SECONDS = 0.5

Taken = dict[Any, list[Row]]
"""Partition -> records in the order of their offsets."""


def waits(longest_seconds: float, most_bytes: int, timeout_seconds: float) -> dict[str, int]:
    """Options of a consumer whose broker answers a fetch at once where many records wait, else after `longest_seconds`.

    With 0 it answers as soon as there is one. `timeout_seconds` is that of a request, which a fetch must not come near.
    """
    gathers = longest_seconds > 0
    return {
        "fetch_min_bytes": min(_FULL_FETCH_BYTES, most_bytes) if gathers else 1,
        "fetch_max_wait_ms": milliseconds(
            min(longest_seconds if gathers else _IDLE_FETCH_SECONDS, timeout_seconds / 2)
        ),
    }


def drain(consumer: Any, taken: Taken, timeout_ms: int, most: int) -> None:
    """Wait for records, and add up to `most` of those that have come to `taken`, which is to be empty.

    Where it raises, what is in `taken` by then has been handed out and comes no more.
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
                # All that have records left had their share: they have another one.
                _let_go(consumer, held)
                since.clear()
    finally:
        _let_go(consumer, held)


def _add(taken: Taken, more: Taken) -> None:
    for tp, rows in more.items():
        taken.setdefault(tp, []).extend(rows)


def _let_go(consumer: Any, held: list[Any]) -> None:
    consumer.resume(*held)
    held.clear()


def _in_line(consumer: Any) -> None:
    """The library hands out what it kept of a paused partition where this is None, but not where it is empty."""
    if not consumer._fetcher._next_partition_records:
        consumer._fetcher._next_partition_records = None
