"""The fetch settings that the client gets."""

from __future__ import annotations

from detector.sources.kafka.drain import waits


def test_fetch_waits_for_more_if_little_has_arrived() -> None:
    assert waits(0.25, 16 << 20, 30.0) == {"fetch_min_bytes": 1 << 20, "fetch_max_wait_ms": 250}


def test_without_a_wait_the_first_record_is_enough() -> None:
    assert waits(0.0, 16 << 20, 30.0) == {"fetch_min_bytes": 1, "fetch_max_wait_ms": 500}


def test_fetch_wait_is_bounded_by_its_size_and_the_request_timeout() -> None:
    assert waits(5.0, 4_096, 1.0) == {"fetch_min_bytes": 4_096, "fetch_max_wait_ms": 500}
