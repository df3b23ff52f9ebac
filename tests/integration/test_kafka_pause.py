"""A partition that was paused while the client had fetched records of it loses none after the resume."""

from __future__ import annotations

import time

import pytest

from detector.records import Partition
from tests.integration.driving import MakeSource
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint

pytestmark = pytest.mark.integration


def test_partitions_paused_and_resumed_in_turn_lose_no_record(kafka: Endpoint, make_source: MakeSource) -> None:
    topic, count = kafka.create_topic(partitions=3), 1_000
    for number in range(3):
        kafka.produce(topic, [str(at).encode() for at in range(count)], partition=number)
    source = make_source(topic, max_poll_records=150)
    found: dict[Partition, list[bytes | None]] = {(topic, number): [] for number in range(3)}
    paused: set[Partition] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(len(values) < count for values in found.values()):
        assert time.monotonic() < deadline, {partition: len(values) for partition, values in found.items()}
        batches = source.poll(0.05)
        source.resume(source.changes().assigned)
        for batch in batches:
            found[batch.topic, batch.partition] += batch.values
            source.pause(frozenset([(batch.topic, batch.partition)]))
            paused.add((batch.topic, batch.partition))
        if len(paused) == 2 or not batches:
            source.resume(frozenset(paused))
            paused = set()
    assert all(values == [str(at).encode() for at in range(count)] for values in found.values())
