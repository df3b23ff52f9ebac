"""Positions and ends are the client's last known ones: no request is made, no error is swallowed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import SubscriptionState
from kafka.structs import OffsetAndMetadata

from detector.sources.kafka.positions import Positions

READ, NEW, FRESH, GONE = (TopicPartition("metrics", number) for number in range(4))


def positions() -> Positions:
    """Three partitions: one read up to 7 of 12, one unknown, one that has just got its position."""
    subscription = SubscriptionState()
    subscription.assign_from_user([READ, NEW, FRESH])
    subscription.seek(READ, OffsetAndMetadata(7, "", 3))
    subscription.seek(FRESH, OffsetAndMetadata(5, "", -1))
    subscription.assignment[READ].highwater = 12
    subscription.assignment[NEW].highwater = 9
    consumer: Any = SimpleNamespace(_subscription=subscription, assignment=subscription.assigned_partitions)
    consumer.highwater = lambda tp: KafkaConsumer.highwater(consumer, tp)
    return Positions(consumer)


def test_known_positions_need_no_call_that_may_wait_or_raise() -> None:
    found = positions()
    assert [found.at(tp) for tp in (READ, NEW, FRESH, GONE)] == [7, None, 5, None]
    assert found.epoch(READ) == 3
    assert found.lags() == {("metrics", 0): 5}
    assert found.ends() == {("metrics", 0): 12, ("metrics", 1): 9}


def test_truncated_log_gives_no_negative_lag() -> None:
    found = positions()
    found._consumer._subscription.assignment[READ].highwater = 4
    assert found.lags() == {("metrics", 0): 0}


def test_only_assigned_partitions_are_reported() -> None:
    assert positions().assigned([("metrics", 0), ("metrics", 3), ("other", 0)]) == [READ]
