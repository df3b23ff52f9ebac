"""How long a fetch waits, as the client is told."""

from __future__ import annotations

from detector.sources.kafka.drain import waits


def test_a_fetch_waits_for_more_where_little_has_come() -> None:
    assert waits(0.25, 16 << 20, 30.0) == {"fetch_min_bytes": 1 << 20, "fetch_max_wait_ms": 250}


def test_without_a_wait_the_first_record_is_enough() -> None:
    assert waits(0.0, 16 << 20, 30.0) == {"fetch_min_bytes": 1, "fetch_max_wait_ms": 500}


def test_no_fetch_waits_for_more_than_it_may_bring_or_as_long_as_a_request_may_take() -> None:
    assert waits(5.0, 4_096, 1.0) == {"fetch_min_bytes": 4_096, "fetch_max_wait_ms": 500}
