"""G4: a restore that takes longer than the group waits for a poll. Without slices, it would begin again for ever."""

from __future__ import annotations

import re
import time

import pytest

from detector.clock import SystemClock
from detector.records import Partition
from detector.testing import LogSource, MemoryStore
from tests.integration.driving import MakeSource
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint
from tests.recovery.rig import Life, Log, World, make_log, oracle
from tests.recovery.slow import slow

pytestmark = pytest.mark.integration

POLL_INTERVAL_SECONDS, SESSION_SECONDS = 3.0, 6.0
"""Its client looks every third of a session whether it was polled in the interval."""
BLOB_SECONDS = 2.0
PARTITIONS = 3


def stored_half_of(log: Log) -> World:
    """A worker of before has read a part of each partition."""
    world = World(log)
    first = Life(world, source=LogSource(log, world.committed, lambda: 100))
    first.turns(1)
    first.checkpoint()
    assert sorted(world.committed.values()) == [100] * PARTITIONS
    return world


def committed(life: Life, partition: Partition) -> float | None:
    labels = {"topic": partition[0], "partition": str(partition[1])}
    return life.metrics.registry.get_sample_value("detector_committed_offset", labels)


def test_g4_a_worker_that_restores_for_longer_than_the_group_waits_for_a_poll_keeps_its_partitions(
    kafka: Endpoint, make_source: MakeSource
) -> None:
    topic = kafka.create_topic(partitions=PARTITIONS)
    log = {(topic, number): values for (_, number), values in make_log(5, partitions=PARTITIONS).items()}
    for (_, number), values in log.items():
        kafka.produce(topic, values, partition=number)
    world = stored_half_of(log)
    source = make_source(
        topic, max_poll_interval_seconds=POLL_INTERVAL_SECONDS, session_timeout_seconds=SESSION_SECONDS
    )
    store = slow(MemoryStore(world.durable), lambda: time.sleep(BLOB_SECONDS))

    began = time.monotonic()
    life = Life(world, store=store, source=source, clock=SystemClock(), interval_seconds=1.0)  # type: ignore[arg-type]
    ends = {partition: len(values) for partition, values in log.items()}
    while {partition: committed(life, partition) for partition in ends} != ends:
        assert time.monotonic() - began < PATIENCE_SECONDS, life.log.getvalue()
        life.worker.turn()
        assert life.metrics.registry.get_sample_value("detector_partition_changes_total", {"change": "lost"}) == 0
    seconds = sum(map(float, re.findall(r"seconds=(\S+) event='state restored'", life.log.getvalue())))
    assert seconds > 2 * (POLL_INTERVAL_SECONDS + SESSION_SECONDS / 3), "long enough to be thrown out"
    assert life.log.getvalue().count("state restored") == PARTITIONS
    assert life.state() == oracle(log)[0]
