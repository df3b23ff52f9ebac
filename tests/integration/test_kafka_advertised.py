"""Brokers that answer, but advertise addresses that do not: the first mistake with a broker in a container."""

from __future__ import annotations

import pytest

from detector.config.schema import Kafka
from detector.errors import BrokerUnreachable
from detector.kafka.admin import KafkaAdmin
from tests.integration.driving import MakeSink, MakeSource
from tests.kafka.cluster import Cluster

pytestmark = pytest.mark.integration


def test_advertised_address_that_does_not_answer_is_named(
    own_cluster: Cluster, make_source: MakeSource, make_sink: MakeSink
) -> None:
    ((told, bound),) = own_cluster.links[0]
    topic, bootstrap = own_cluster.endpoint.create_topic(), f"127.0.0.1:{bound}"
    kafka = Kafka(bootstrap_servers=[bootstrap], request_timeout_seconds=2)

    for start in (
        lambda: make_source(topic, bootstrap=bootstrap, timeout_seconds=2),
        lambda: make_sink(topic, bootstrap=bootstrap, timeout_seconds=2),
        lambda: KafkaAdmin(kafka, "admin init"),
    ):
        why = rf"{bootstrap} answered, but sends clients to 127\.0\.0\.1:{told}, .*ECONNREFUSED.* advertised\.listeners"
        with pytest.raises(BrokerUnreachable, match=why) as caught:
            start()
        assert caught.value.retriable
