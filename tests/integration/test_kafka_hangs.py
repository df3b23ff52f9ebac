"""G12 and failures that the client library does not report: frozen brokers, fenced members, forgotten partitions."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.errors import BrokerUnreachable, MemberFenced, PartitionStalled, TopicMissing
from detector.records import Partition, RawBatch
from detector.sources.kafka import KafkaSource
from tests.integration.daemon import Daemon
from tests.integration.driving import MakeSource, drive, poll, read, values, wait_for_change
from tests.kafka.broker import HOST, free_ports
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import Endpoint, eventually
from tests.stopwatch import undisturbed

pytestmark = pytest.mark.integration

SHORT_SECONDS, LONG_SECONDS, MARGIN_SECONDS = 4.0, 120.0, 15.0
STALL_SECONDS = 12.0
"""After half of it a partition that is not read is told of, and there is time to tell before the rest is over."""


def settings(kafka: Endpoint, deadline_seconds: float) -> dict[str, Any]:
    """A daemon that has something to do, and so much time to end."""
    metrics = kafka.create_topic(partitions=2)
    kafka.produce(metrics, [b'{"name":"m","timestamp":%d,"value":1}' % (1_700_000_000 + i) for i in range(400)])
    return {
        "kafka": {"bootstrap_servers": [kafka.bootstrap], "request_timeout_seconds": 20.0},
        "source": {"kafka": {"topics": [metrics], "group_id": kafka.name("group"), "start": "earliest"}},
        "sinks": {"kafka": {"topic": kafka.create_topic()}},
        "dead_letter": {"topic": kafka.create_topic()},
        "checkpoint": {"interval_seconds": 0.1, "shutdown_timeout_seconds": deadline_seconds},
    }


def end(daemon: Daemon, deadline_seconds: float) -> int:
    """SIGTERM; the exit status, which must come within the deadline."""
    status, seconds = daemon.end()
    assert seconds < deadline_seconds + MARGIN_SECONDS
    return status


@pytest.mark.parametrize("seed", range(2))
def test_g12_sigterm_at_any_moment_stops_in_order(kafka: Endpoint, tmp_path: Path, seed: int):
    with Daemon(tmp_path, settings(kafka, LONG_SECONDS)) as daemon:
        daemon.wait_until_it_listens()
        time.sleep(random.Random(seed).uniform(0.0, 3.0))
        assert end(daemon, LONG_SECONDS) == 0


def test_g12_sigterm_stops_within_the_deadline_while_a_broker_is_frozen(own_cluster, tmp_path: Path):
    cluster = own_cluster
    config = settings(cluster.endpoint, SHORT_SECONDS)
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        eventually(lambda: daemon.metric("detector_samples_consumed_total") > 0, "it reads")
        cluster.brokers[0].pause()
        time.sleep(random.Random(7).uniform(0.0, 2.0))
        assert daemon.get("/-/healthy")[0] == 200, "waiting for a broker is no hang"
        assert end(daemon, SHORT_SECONDS) in (0, 1)


def test_g12_sigterm_stops_within_the_deadline_during_the_first_connection(own_cluster, tmp_path: Path):
    cluster = own_cluster
    config = settings(cluster.endpoint, SHORT_SECONDS)
    cluster.brokers[0].pause()
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_it_listens()
        assert end(daemon, SHORT_SECONDS) == 0, "there is nothing yet to end in order"


def test_g12_worker_waits_for_a_frozen_broker_and_reads_on(own_cluster, tmp_path: Path):
    cluster = own_cluster
    config = settings(cluster.endpoint, LONG_SECONDS)
    (topic,) = config["source"]["kafka"]["topics"]
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        cluster.brokers[0].pause()
        time.sleep(3.0)
        cluster.brokers[0].resume()
        cluster.endpoint.produce(topic, [b'{"name":"m","timestamp":1700009999,"value":1}'])
        eventually(lambda: daemon.metric("detector_samples_consumed_total") == 401, "all is read")
        assert end(daemon, LONG_SECONDS) == 0


def test_pitfall_8_partition_that_the_client_forgot_is_an_error(kafka: Endpoint):
    topic = kafka.create_topic()
    section = Section(topics=[topic], group_id=kafka.name("group"), start="earliest")
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)
    source = KafkaSource(connection, section, stall_seconds=STALL_SECONDS)
    try:
        kafka.produce(topic, [b"a"])
        read(source, 1)
        source._consumer.pause(*source._consumer.assignment())  # behind its back: the library delivers nothing
        kafka.produce(topic, [b"b"])
        with pytest.raises(PartitionStalled, match=f"{topic}/0: nothing was read from offset 1 for") as caught:
            drive(source, until=lambda: False)
        assert caught.value.retriable
        source._consumer.resume(*source._consumer.assignment())
        assert values(read(source, 1)) == [b"b"]
        drive_seconds(source, 0.75 * STALL_SECONDS)
    finally:
        source.close(timeout_seconds=2)


def test_g5_topic_deleted_while_it_is_read_is_an_error_until_it_exists_again(kafka: Endpoint):
    """The library then assigns the partitions that it knows, none, and continues."""
    topic = kafka.create_topic()
    section = Section(topics=[topic], group_id=kafka.name("group"), start="earliest", on_offset_lost="earliest")
    connection = Kafka(bootstrap_servers=[kafka.bootstrap], request_timeout_seconds=30)
    source = KafkaSource(connection, section, stall_seconds=STALL_SECONDS)
    try:
        kafka.produce(topic, [b"a"])
        read(source, 1)
        kafka.delete_topic(topic)
        with pytest.raises(TopicMissing, match=f"topics: {topic} does not exist at {kafka.bootstrap}") as caught:
            drive(source, until=lambda: False)
        assert caught.value.retriable
        kafka.create_topic(topic)
        kafka.produce(topic, [b"b"])
        assert values(read_when_there(source, 1)) == [b"b"]
    finally:
        source.close(timeout_seconds=2)


def read_when_there(source: KafkaSource, count: int) -> list[RawBatch]:
    """However long it takes until the client has heard of the topic."""
    while True:
        source._topics._gone_since.clear()
        with contextlib.suppress(TopicMissing):
            return read(source, count)


def drive_seconds(source: KafkaSource, seconds: float) -> None:
    until = time.monotonic() + seconds
    drive(source, until=lambda: time.monotonic() > until)


def test_pitfall_8_silent_brokers_are_an_error_although_poll_returns(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic)
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    answered_at = time.monotonic() - 200.0
    source._consumer._cluster._last_successful_refresh_ms = 1_000 * answered_at
    source._progress._looked_at -= 200

    with pytest.raises(BrokerUnreachable) as caught:
        source.poll(0.1)
    said = re.search(r"has answered for (\d+) s", str(caught.value))
    assert said is not None
    assert 200 <= int(said[1]) <= round(time.monotonic() - answered_at)
    assert caught.value.retriable
    assert source.poll(0.1) == []


def test_brokers_that_return_at_another_address_are_found(own_cluster: Cluster, make_source: MakeSource):
    """The client library asks the brokers it knows, and only those."""
    kafka, (broker,), (port,) = own_cluster.endpoint, own_cluster.brokers, free_ports(1)
    topic, moved = kafka.create_topic(), Endpoint(f"{HOST}:{port}")
    source = make_source(topic, bootstrap=f"{kafka.bootstrap},{moved.bootstrap}")
    properties = broker.folder / "server.properties"
    before = properties.read_text()
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    broker.stop()
    try:
        properties.write_text(before.replace(kafka.bootstrap, moved.bootstrap))
        broker.restart()
        moved.produce(topic, [b"value"])
        source._consumer._cluster._last_successful_refresh_ms -= 200_000
        source._progress._looked_at -= 200

        assert values(read(source, 1)) == [b"value"]
    finally:
        broker.stop()
        properties.write_text(before)


def test_pitfall_9_fenced_member_gets_an_error_from_poll(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])
    first = make_source(topic, group_instance_id="same")
    read(first, 1)
    wait_for_change(make_source(topic, group_instance_id="same"))

    with pytest.raises(MemberFenced, match="group_instance_id"):
        drive(first, until=lambda: False)


def test_pitfall_2_restore_longer_than_the_session_timeout_keeps_the_partitions(
    kafka: Endpoint, make_source: MakeSource
):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])

    def restore() -> None:
        source = make_source(topic, group_id=kafka.name("group"), session_timeout_seconds=5.0)
        assigned = wait_for_change(source).assigned
        time.sleep(7.0)  # the callback has returned long ago; heartbeats go on, and nothing is fetched
        source.resume(assigned)
        batches: list[RawBatch] = []

        def reads_on() -> bool:
            batches.extend(poll(source))
            assert not source.changes().lost, "it was thrown out"
            return bool(batches)

        eventually(reads_on, "it reads")
        assert values(batches) == [b"a"]
        source.commit({(topic, 0): 1})

    undisturbed(restore)


def test_no_poll_for_longer_than_max_poll_interval_loses_the_partitions(kafka: Endpoint, make_source: MakeSource):
    source = make_source(kafka.create_topic(), max_poll_interval_seconds=1.0)
    assigned = wait_for_change(source).assigned
    assert lost_by_silence(source) == assigned


def lost_by_silence(source: KafkaSource) -> frozenset[Partition]:
    """What the source loses by not being asked for long enough: its client looks at that every three seconds only."""
    for silent_seconds in (3.0, 6.0, 12.0, 24.0):
        time.sleep(silent_seconds)
        with contextlib.suppress(AssertionError):
            return wait_for_change(source, 5.0).lost
    return frozenset()


def test_pitfall_2_no_record_is_delivered_before_the_restore(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])
    source = make_source(topic)
    wait_for_change(source)
    for _ in range(10):
        assert source.poll(0.05) == []


def test_g12_daemon_stopped_while_suspended_ends_when_it_continues(kafka: Endpoint, tmp_path: Path):
    with Daemon(tmp_path, settings(kafka, LONG_SECONDS)) as daemon:
        daemon.wait_until_ready()
        daemon.process.send_signal(signal.SIGSTOP)
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        daemon.process.send_signal(signal.SIGCONT)
        assert daemon.process.wait(LONG_SECONDS + MARGIN_SECONDS) == 0
