"""A client that knows the wrong leader, as after a metadata answer of a broker that was behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from detector.config.schema import Kafka
from detector.kafka.client import client_options, log_bounds
from tests.kafka.cluster import Cluster

pytestmark = pytest.mark.integration


def test_end_of_a_log_is_found_with_an_outdated_leader(
    make_cluster: Callable[..., Any],
) -> None:
    cluster: Cluster = make_cluster(brokers=3)
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
