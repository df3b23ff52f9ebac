"""G4, G12: a restore that takes longer than the group waits for a poll, and a state topic whose broker is silent."""

from __future__ import annotations

import os
import re
import time
from itertools import pairwise

import pytest

from detector.clock import SystemClock
from detector.config.schema import Kafka
from detector.errors import StateUnavailable
from detector.records import Partition
from detector.state.kafka import KafkaStore
from detector.state.manifest import block_name
from detector.testing import LogSource, MemoryStore
from tests.integration.driving import MakeSource
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint
from tests.recovery.rig import Life, Log, World, make_log, oracle
from tests.recovery.slow import slow
from tests.stopwatch import undisturbed

pytestmark = pytest.mark.integration

POLL_INTERVAL_SECONDS, SESSION_SECONDS = 6.0, 6.0
"""Its client looks every third of a session whether it was polled in the interval."""
BLOB_SECONDS = 3.0
"""Half of the interval: the client is polled between two blobs, on a busy machine later."""
PARTITIONS = 3
STORE_SECONDS, STEP_SECONDS = 20.0, 10.0
"""Until a silent broker is an error; a step takes a tenth of this one, or so."""


def stored_half_of(log: Log) -> World:
    """Topic and state of which an earlier worker has read a part of each partition."""
    world = World(log)
    first = Life(world, source=LogSource(log, world.committed, lambda: 100))
    first.turns(1)
    first.checkpoint()
    assert sorted(world.committed.values()) == [100] * PARTITIONS
    return world


def committed(life: Life, partition: Partition) -> float | None:
    labels = {"topic": partition[0], "partition": str(partition[1])}
    return life.metrics.registry.get_sample_value("detector_committed_offset", labels)


def test_g4_restore_longer_than_max_poll_interval_keeps_the_partitions(
    kafka: Endpoint, make_source: MakeSource
) -> None:
    undisturbed(lambda: restore_slowly(kafka, make_source))


def restore_slowly(kafka: Endpoint, make_source: MakeSource) -> None:
    topic = kafka.create_topic(partitions=PARTITIONS)
    log = {(topic, number): values for (_, number), values in make_log(5, partitions=PARTITIONS).items()}
    for (_, number), values in log.items():
        kafka.produce(topic, values, partition=number)
    world = stored_half_of(log)
    source = make_source(
        topic,
        group_id=kafka.name("group"),
        max_poll_interval_seconds=POLL_INTERVAL_SECONDS,
        session_timeout_seconds=SESSION_SECONDS,
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


@pytest.mark.parametrize("steps_before", [0, 1])
def test_g12_restore_yields_while_the_state_broker_is_silent(own_cluster, steps_before: int) -> None:
    """So the worker can obey a stop, for example, long before the broker's silence is an error."""
    cluster = own_cluster
    topic = cluster.endpoint.create_topic(cleanup_policy="compact")
    connection = Kafka(bootstrap_servers=[cluster.bootstrap], request_timeout_seconds=30)
    store = KafkaStore(connection, topic, [], "group", timeout_seconds=STORE_SECONDS)
    try:
        for number in range(50):  # more than one fetch brings
            store.write(("metrics", 0), block_name(1, number, "w"), os.urandom(1 << 20))
        store.flush(PATIENCE_SECONDS)
        steps = store.opening(("metrics", 0))
        for _ in range(steps_before):
            next(steps)
        cluster.brokers[0].pause()
        took = [time.monotonic()]
        with pytest.raises(StateUnavailable):
            took.extend(time.monotonic() for _ in steps)
        assert len(took) > 3
        assert max(after - before for before, after in pairwise(took)) < STEP_SECONDS
        assert took[-1] - took[0] > STORE_SECONDS / 2
    finally:
        cluster.brokers[0].resume()
        store.close(5.0)
