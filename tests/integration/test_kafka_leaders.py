"""Leaders that change: a client that knows the wrong one, and one that dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from detector.config.schema import Kafka
from detector.kafka.client import client_options, log_bounds
from detector.protocols import Message
from tests.integration.driving import MakeSink, MakeSource, read, values
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("left_behind"),
    # kafka-python leaves the connection to a broker that was killed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket.*raddr=:ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(make_module_cluster: Callable[..., Cluster]) -> Cluster:
    return make_module_cluster(brokers=3)


def test_end_of_a_log_is_found_with_an_outdated_leader(cluster: Cluster) -> None:
    """As after a metadata answer of a broker that was behind."""
    place = TopicPartition(cluster.endpoint.create_topic(replication=3), 0)
    cluster.endpoint.produce(place.topic, [b"a", b"b"])
    kafka = Kafka(bootstrap_servers=cluster.bootstrap.split(","))
    consumer: Any = KafkaConsumer(**client_options(kafka), group_id=None)
    try:
        consumer.assign([place])
        assert log_bounds(consumer, "latest", [place], 20.0) == {place: 2}
        known = consumer._cluster._partitions[place.topic][0]
        known.leader_id = known.leader_id % 3 + 1
        assert log_bounds(consumer, "latest", [place], 20.0) == {place: 2}
        known.leader_id = known.leader_id % 3 + 1
        assert log_bounds(consumer, "earliest", [place], 20.0) == {place: 0}
    finally:
        consumer.close()


def test_source_and_sink_lose_no_record_when_a_leader_dies(
    cluster: Cluster, make_source: MakeSource, make_sink: MakeSink
) -> None:
    topic = cluster.endpoint.create_topic(replication=3, partitions=3)
    source = make_source(topic, bootstrap=cluster.bootstrap)
    sink = make_sink(topic, bootstrap=cluster.bootstrap, delivery_timeout_seconds=PATIENCE_SECONDS)
    for i in range(30):
        sink.send(Message(b"%d" % i, b"%d" % i))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)
    before = values(read(source, 30))

    cluster.brokers[0].kill()
    for i in range(30, 60):
        sink.send(Message(b"%d" % i, b"%d" % i))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)
    behind = values(read(source, 30))
    source.commit(dict.fromkeys(source.lag(), 1))
    cluster.brokers[0].restart()

    assert sorted(int(value or b"") for value in before + behind) == list(range(60))
    assert len(cluster.endpoint.read(topic, 60)) == 60
