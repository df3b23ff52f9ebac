"""How many alerts a webhook request holds."""

from __future__ import annotations

import pytest

from detector.sinks.webhook_pace import Pace

REQUEST_SECONDS, DELIVERY_SECONDS = 10.0, 60.0


def settled(pace: Pace, seconds_an_alert: float, seconds_a_request: float = 0.0) -> Pace:
    """The pace after many requests to a receiver of that speed."""
    for _ in range(50):
        seconds = seconds_a_request + seconds_an_alert * pace.batch
        if seconds < REQUEST_SECONDS:
            pace.accepted(pace.batch, seconds)
        else:
            pace.failed(pace.batch)
    return pace


def test_pace_starts_at_one_and_soon_reaches_the_limit() -> None:
    pace = Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS)
    asked = []
    for _ in range(8):
        asked.append(pace.batch)
        pace.accepted(pace.batch, 0.01)
    assert asked == [1, 2, 4, 8, 16, 32, 64, 100]
    assert pace.room == 1_000


@pytest.mark.parametrize("seconds_an_alert", [0.001, 0.05, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("seconds_a_request", [0.0, 0.5, 4.0])
def test_g11_slow_receiver_gets_what_it_can_accept_in_time(seconds_an_alert: float, seconds_a_request: float) -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), seconds_an_alert, seconds_a_request)
    assert seconds_a_request + seconds_an_alert * pace.batch < REQUEST_SECONDS
    requests = -(-pace.room // pace.batch)
    assert requests * seconds_a_request + seconds_an_alert * pace.room <= DELIVERY_SECONDS


def test_pace_falls_when_the_receiver_slows_down() -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    settled(pace, 1.0)
    assert pace.batch <= 5
    assert pace.room <= 30


def test_number_of_waiting_alerts_is_bounded() -> None:
    pace = settled(Pace(100, 10, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    assert pace.room == 10


def test_pace_is_one_after_failures() -> None:
    pace = settled(Pace(100, 1_000, REQUEST_SECONDS, DELIVERY_SECONDS), 0.001)
    for _ in range(8):
        pace.failed(pace.batch)
    assert pace.batch == 1
