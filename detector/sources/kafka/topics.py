"""Checks that the topics to read exist, at startup and from then on."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as KafkaSourceSection
from detector.errors import TopicMissing
from detector.kafka.client import translate


class Topics:
    """The topics of a group, as its consumer hears of them."""

    def __init__(
        self,
        consumer: Any,
        kafka: Kafka,
        section: KafkaSourceSection,
        limit_seconds: float,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._consumer = consumer
        self._kafka = kafka
        self._section = section
        self._limit_seconds = limit_seconds
        self._now = now
        self._gone_since: dict[str, float] = {}

    def require(self) -> None:
        """Ask for all topics. Raises TopicMissing, or another SourceError if no broker answers."""
        for topic in self._section.topics:
            try:
                found = self._consumer.partitions_for_topic(topic)
            except kafka_errors.KafkaError as exc:
                raise translate(exc, f"looking up topic {topic}", self._kafka) from exc
            if not found:
                raise TopicMissing(without(topic, self._kafka, self._section))

    def check(self) -> None:
        """Check what was last heard of the topics. Raises TopicMissing, retriable until the limit: it may be recreated.

        The library reports nothing: to it, a missing topic is one without partitions, all of them assigned.
        """
        now = self._now()
        gone = [topic for topic in self._section.topics if not self._consumer._cluster.partitions_for_topic(topic)]
        self._gone_since = {topic: self._gone_since.get(topic, now) for topic in gone}
        if gone:
            first = min(gone, key=self._gone_since.__getitem__)
            seconds = now - self._gone_since[first]
            raise TopicMissing(
                f"{without(first, self._kafka, self._section)}; it has been gone for {seconds:.0f} s, and after "
                f"watchdog.partition_seconds ({self._limit_seconds:g}) the worker stops",
                retriable=seconds < self._limit_seconds,
            )


def without(topic: str, kafka: Kafka, section: KafkaSourceSection) -> str:
    """Error text: a topic to read does not exist, and how to fix that."""
    internal = section.partitioning == "repartition" and topic == section.repartition_topic
    key, fix = ("repartition_topic", "`detector admin init` creates it") if internal else ("topics", "create it")
    return (
        f"source.kafka.{key}: {topic} does not exist at {', '.join(kafka.bootstrap_servers)}, or "
        f"{kafka.sasl.username or 'an anonymous client'} may not DESCRIBE it; {fix} or grant that"
    )
