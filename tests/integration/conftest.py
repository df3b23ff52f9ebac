"""Sources and sinks that are closed at the end of the test, and what tests of brokers that die leave behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.sinks.kafka import KafkaSink
from detector.sources.kafka import KafkaSource
from tests.integration.driving import MakeSink, MakeSource
from tests.kafka.endpoint import Endpoint


@pytest.fixture
def make_source(kafka: Endpoint) -> Iterator[MakeSource]:
    """Sources of one group, closed with the test."""
    sources: list[KafkaSource] = []
    group = kafka.name("group")

    def make(topic: str, *, bootstrap: str = kafka.bootstrap, timeout_seconds: float = 30, **section) -> KafkaSource:
        connection = Kafka(bootstrap_servers=bootstrap.split(","), request_timeout_seconds=timeout_seconds)
        settings = {"topics": [topic], "group_id": group, "start": "earliest", **section}
        sources.append(KafkaSource(connection, Section(**settings)))
        return sources[-1]

    yield make
    for source in sources:
        source.close(timeout_seconds=2)


@pytest.fixture
def make_sink(kafka: Endpoint) -> Iterator[MakeSink]:
    sinks: list[KafkaSink] = []

    def make(topic: str, *, bootstrap: str = kafka.bootstrap, timeout_seconds: float = 30, **options) -> KafkaSink:
        connection = Kafka(bootstrap_servers=bootstrap.split(","), request_timeout_seconds=timeout_seconds)
        sinks.append(KafkaSink(connection, topic, **options))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.close(timeout_seconds=1)


@pytest.fixture
def left_behind() -> Iterator[None]:
    """What a test leaves to the garbage collector is found here, not in another file's test."""
    yield
    gc.collect()
