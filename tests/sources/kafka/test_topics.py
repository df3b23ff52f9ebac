"""A deleted topic, which the client silently treats as one without partitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from detector.config.schema import Kafka, KafkaSource
from detector.errors import TopicMissing
from detector.sources.kafka.topics import Topics, without
from detector.testing import ManualClock


class Known:
    """What the brokers know, looked at every ten seconds with a limit of a hundred."""

    def __init__(self, *topics: str) -> None:
        self.partitions = {topic: {0, 1} for topic in topics}
        self.clock = ManualClock()
        consumer: Any = SimpleNamespace(_cluster=SimpleNamespace(partitions_for_topic=self.partitions.get))
        self.topics = Topics(consumer, Kafka(), KafkaSource(topics=list(topics)), 100.0, self.clock.monotonic)

    def check(self) -> None:
        self.clock.advance(10.0)
        self.topics.check()


def test_g5_missing_topic_is_reported_and_then_fatal() -> None:
    known = Known("metrics", "more")
    known.check()
    del known.partitions["more"]
    for seconds in range(0, 100, 10):
        with pytest.raises(
            TopicMissing, match=rf"more does not exist at .*; create it .* gone for {seconds} s"
        ) as caught:
            known.check()
        assert caught.value.retriable
    with pytest.raises(TopicMissing, match=r"watchdog\.partition_seconds \(100\)") as caught:
        known.check()
    assert not caught.value.retriable


def test_topic_recreated_in_time_is_no_error() -> None:
    known = Known("metrics")
    for _ in range(3):
        partitions = known.partitions.pop("metrics")
        for _ in range(9):
            with pytest.raises(TopicMissing):
                known.check()
        known.partitions["metrics"] = partitions
        known.check()


def test_missing_internal_topic_is_named_by_its_key() -> None:
    section = KafkaSource(topics=["samples"], repartition_topic="samples", partitioning="repartition")
    told = without("samples", Kafka(), section)
    assert told.startswith("source.kafka.repartition_topic: samples does not exist at localhost:9092, or ")
    assert "`detector admin init` creates it" in told
    told = without("samples", Kafka(), KafkaSource(topics=["samples"], repartition_topic="samples"))
    assert told.startswith("source.kafka.topics: samples does not exist")
