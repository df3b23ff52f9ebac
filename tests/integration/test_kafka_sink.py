"""The sink against a real broker, read back by librdkafka."""

from __future__ import annotations

import pytest

from detector.config.schema import Kafka
from detector.errors import BrokerUnreachable, DeliveryError, TopicMissing
from detector.produce import ProduceOptions, produce
from detector.protocols import Message
from tests.integration.driving import MakeSink, once_answered
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint

pytestmark = pytest.mark.integration


def test_key_value_and_headers_arrive(kafka: Endpoint, make_sink: MakeSink):
    topic = kafka.create_topic()
    sink = make_sink(topic)

    sink.send(Message(b"key", b"value", (("ce_id", b"1"), ("ce_id", b"2"))))
    sink.send(Message(b"key", None))
    sink.send(Message(None, None))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)

    first, tombstone, empty = kafka.read(topic, 3)
    assert (first.key(), first.value(), first.headers()) == (b"key", b"value", [("ce_id", b"1"), ("ce_id", b"2")])
    assert (tombstone.key(), tombstone.value()) == (b"key", None)
    assert (empty.key(), empty.value()) == (None, b"")


def test_order_is_kept_and_messages_in_flight_are_bounded(kafka: Endpoint, make_sink: MakeSink):
    topic = kafka.create_topic()
    sink = make_sink(topic, max_in_flight=50)

    most = 0
    for i in range(2_000):
        sink.send(Message(b"k", b"%d" % i))
        most = max(most, sink.in_flight)
    sink.flush(timeout_seconds=PATIENCE_SECONDS)

    assert most <= 50
    assert sink.in_flight == 0
    assert [m.value() for m in kafka.read(topic, 2_000)] == [b"%d" % i for i in range(2_000)]


def test_messages_of_a_key_go_to_one_partition(kafka: Endpoint, make_sink: MakeSink):
    topic = kafka.create_topic(partitions=4)
    sink = make_sink(topic)
    for i in range(40):
        sink.send(Message(b"key %d" % (i % 8), b"%d" % i))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)

    where = {(m.key(), m.partition()) for m in kafka.read(topic, 40)}
    assert len(where) == 8


def test_missing_topic_is_named_and_not_created(kafka: Endpoint, make_sink: MakeSink):
    with pytest.raises(TopicMissing, match="no-such-topic does not exist"):
        once_answered(lambda: make_sink("no-such-topic", timeout_seconds=3))
    assert "no-such-topic" not in kafka.topics()


def test_unreachable_broker_is_named(make_sink: MakeSink):
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 answers"):
        make_sink("topic", bootstrap="127.0.0.1:1", timeout_seconds=2)


def test_message_that_the_broker_rejects_ends_the_sink(kafka: Endpoint, make_sink: MakeSink):
    topic = kafka.create_topic(max_message_bytes=1_000)
    sink = make_sink(topic)
    sink.send(Message(None, b"fits"))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)

    sink.send(Message(None, bytes(100_000)))
    with pytest.raises(DeliveryError, match=topic) as caught:
        sink.flush(timeout_seconds=PATIENCE_SECONDS)
    assert not caught.value.retriable
    with pytest.raises(DeliveryError):
        sink.send(Message(None, b"later"))
    with pytest.raises(DeliveryError):
        sink.flush(timeout_seconds=1)


def test_message_larger_than_a_request_ends_the_sink(kafka: Endpoint, make_sink: MakeSink):
    sink = make_sink(kafka.create_topic())

    with pytest.raises(DeliveryError, match="larger than"):
        sink.send(Message(None, bytes(2 << 20)))


def test_g6_messages_up_to_the_configured_size_are_sent(kafka: Endpoint, make_sink: MakeSink):
    topic = kafka.create_topic(max_message_bytes=4 << 20)
    sink = make_sink(topic, max_message_bytes=3 << 20)
    sink.send(Message(b"key", bytes(2 << 20)))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)
    assert [len(message.value()) for message in kafka.read(topic, 1)] == [2 << 20]


def test_error_of_produce_for_a_missing_topic_says_how_to_create_it(kafka: Endpoint):
    options = ProduceOptions(topic="no-such-input", kafka=Kafka(bootstrap_servers=kafka.bootstrap.split(",")))
    with pytest.raises(TopicMissing, match=r"^--topic: no-such-input does not exist at .*--input-partitions"):
        once_answered(lambda: produce(options, lambda sent: None))
