"""How much a receiver is given at once."""

from __future__ import annotations

import pytest

from detector.sinks.webhook_pace import Pace

REQUEST_SECONDS, DELIVERY_SECONDS = 10.0, 60.0


def settled(pace: Pace, seconds_an_alert: float, seconds_a_request: float = 0.0) -> Pace:
    """After many requests to a receiver of that speed, whatever waits for it."""
    for _ in range(50):
        seconds = seconds_a_request + seconds_an_alert * pace.batch
        if seconds < REQUEST_SECONDS:
            pace.accepted(pace.batch, seconds)
        else:
            pace.failed(pace.batch)
    return pace


def test_it_begins_with_one_and_is_soon_at_the_most() -> None:
    pace = Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS)
    asked = []
    for _ in range(8):
        asked.append(pace.batch)
        pace.accepted(pace.batch, 0.01)
    assert asked == [1, 2, 4, 8, 16, 32, 64, 100]
    assert pace.room == 1_000


@pytest.mark.parametrize("seconds_an_alert", [0.001, 0.05, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("seconds_a_request", [0.0, 0.5, 4.0])
def test_g11_a_slow_receiver_gets_what_it_takes_in_time(seconds_an_alert: float, seconds_a_request: float) -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), seconds_an_alert, seconds_a_request)
    assert seconds_a_request + seconds_an_alert * pace.batch < REQUEST_SECONDS
    requests = -(-pace.room // pace.batch)
    assert requests * seconds_a_request + seconds_an_alert * pace.room <= DELIVERY_SECONDS


def test_one_that_slows_down_gets_less() -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    settled(pace, 1.0)
    assert pace.batch <= 5
    assert pace.room <= 30


def test_what_may_wait_is_never_more_than_is_allowed() -> None:
    pace = settled(Pace(100, 10, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    assert pace.room == 10


def test_after_failures_one_is_tried() -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    for _ in range(8):
        pace.failed(pace.batch)
    assert pace.batch == 1
