"""Pitfall 8: whatever has happened, the client returns nothing, on time and without an error."""

from __future__ import annotations

import pytest

from detector.errors import BrokerUnreachable, PartitionStalled
from detector.sources.kafka.progress import SILENCE_SECONDS, Progress, require_answers
from detector.testing import ManualClock

PARTITION = ("metrics", 0)


class Looks:
    """Looks at one partition every ten seconds, with a limit of a hundred."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.progress = Progress(100.0, self.clock.monotonic)

    def look(self, position: int | None, end: int) -> None:
        self.clock.advance(10.0)
        assert self.progress.due()
        standing = self.progress.standing({PARTITION: position})
        self.progress.judge(dict.fromkeys(standing, end))


def test_pitfall_8_stalled_partition_with_a_growing_log_is_reported_and_then_fatal() -> None:
    looks = Looks()
    for seconds in range(0, 60, 10):
        looks.look(7, 100 + seconds)
    with pytest.raises(PartitionStalled, match="nothing was read from offset 7 for 50 s") as caught:
        looks.look(7, 200)
    assert caught.value.retriable
    for _ in range(4):
        with pytest.raises(PartitionStalled):
            looks.look(7, 200)
    with pytest.raises(PartitionStalled) as caught:
        looks.look(7, 200)
    assert not caught.value.retriable


@pytest.mark.parametrize("position", [7, None], ids=["read to its end", "not placed yet"])
def test_pitfall_8_partition_without_records_never_stalls(position: int | None) -> None:
    looks = Looks()
    for _ in range(50):
        looks.look(position, 7)


def test_pitfall_8_slow_partition_never_stalls() -> None:
    looks = Looks()
    for position in range(50):
        looks.look(position // 4, 1_000_000)


def test_time_without_polls_does_not_count_as_a_stall() -> None:
    looks = Looks()
    for _ in range(5):
        looks.look(7, 100)
    looks.clock.advance(10_000.0)
    for _ in range(5):
        looks.look(7, 100)


def test_checks_are_rare() -> None:
    looks = Looks()
    looks.look(7, 7)
    looks.clock.advance(9.0)
    assert not looks.progress.due()


def test_pitfall_8_silent_brokers_are_named() -> None:
    require_answers(60.0 + SILENCE_SECONDS, 60.0, "broker:9092")
    with pytest.raises(BrokerUnreachable, match="no broker at broker:9092 has answered for 121 s") as caught:
        require_answers(61.0 + SILENCE_SECONDS, 60.0, "broker:9092")
    assert caught.value.retriable
