"""What one poll returns: an equal share of every partition that has records, up to its limit."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.integration.driving import MakeSource, poll, read
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint

pytestmark = pytest.mark.integration

MOST = 120


def polls(kafka: Endpoint, make_source: MakeSource, counts: list[int]) -> list[Counter[int]]:
    """Records of each partition in each poll that had any; all that the partitions hold comes once and in order."""
    topic = kafka.create_topic(partitions=len(counts))
    for number, count in enumerate(counts):
        kafka.produce(topic, [b"%d" % at for at in range(count)], partition=number)
    source = make_source(topic, max_poll_records=MOST)
    found: list[Counter[int]] = []
    values: list[list[bytes | None]] = [[] for _ in counts]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(map(len, values)) < sum(counts):
        assert time.monotonic() < deadline, f"{list(map(len, values))} of {counts} records came"
        batches = poll(source)
        source.resume(source.changes().assigned)
        if batches:
            found.append(Counter({batch.partition: len(batch) for batch in batches}))
        for batch in batches:
            values[batch.partition] += batch.values
    assert values == [[b"%d" % at for at in range(count)] for count in counts]
    return found


def test_source_with_lag_reads_partitions_evenly(kafka: Endpoint, make_source: MakeSource) -> None:
    found = polls(kafka, make_source, [400, 400, 400, 400])
    assert max(sum(counts.values()) for counts in found) == MOST
    alike = [counts for counts in found if counts == dict.fromkeys(range(4), MOST // 4)]
    assert len(alike) >= len(found) - 4, found


def test_poll_is_as_large_when_only_some_partitions_have_records(kafka: Endpoint, make_source: MakeSource) -> None:
    found = polls(kafka, make_source, [900, 10, 0, 600])
    full = [counts for counts in found if sum(counts.values()) == MOST]
    assert len(full) >= 900 * 2 // MOST - 4, found
    assert any(counts[0] == counts[3] for counts in full), found


@pytest.mark.parametrize(("wait_seconds", "fewest", "most"), [(5.0, 1, 3), (0.0, 5, 10)])
def test_trickling_records_are_collected_for_the_fetch_wait(
    kafka: Endpoint, make_source: MakeSource, wait_seconds: float, fewest: int, most: int
) -> None:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"first"])
    source = make_source(topic, fetch_max_wait_seconds=wait_seconds)
    read(source, 1)
    polled: list[list[bytes | None]] = []
    for number in range(10):
        kafka.produce(topic, [b"%d" % number])
        until = time.monotonic() + 0.15
        while time.monotonic() < until:
            polled += [batch.values for batch in source.poll(0.05)]
    left = 10 - sum(map(len, polled))
    polled += [batch.values for batch in read(source, left)] if left else []
    assert [value for values in polled for value in values] == [b"%d" % number for number in range(10)]
    assert fewest <= len(polled) <= most


def test_source_with_lag_does_not_wait(kafka: Endpoint, make_source: MakeSource) -> None:
    topic = kafka.create_topic()
    noise = random.Random(0)
    kafka.produce(topic, [noise.randbytes(10_000) for _ in range(1_000)])
    source = make_source(topic, fetch_max_wait_seconds=5.0)
    read(source, 0)
    began = time.monotonic()
    values: list[bytes | None] = []
    while len(values) < 850:
        values += [value for batch in poll(source) for value in batch.values]
        source.resume(source.changes().assigned)
    assert time.monotonic() - began < 10.0
