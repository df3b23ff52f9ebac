"""Source and sink while brokers die, freeze, and lose bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from crc32c import crc32c

from detector.errors import BrokerUnreachable, DeliveryError, TopicMissing
from detector.protocols import Message
from tests.integration.driving import MakeSink, MakeSource, once_answered, read, settle, values
from tests.kafka.endpoint import PATIENCE_SECONDS
from tests.soak.network import Network
from tests.stopwatch import Stopwatch

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("left_behind"),
    # kafka-python leaves the connection to a broker that was killed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket.*raddr=:ResourceWarning"),
]


def test_pitfall_6_batch_damaged_on_disk_is_skipped_and_named(own_cluster, make_source: MakeSource):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    cluster.endpoint.produce(topic, [b"before"])
    cluster.endpoint.produce(topic, [b"damaged one", b"damaged two"])
    cluster.endpoint.produce(topic, [b"behind"])
    (broker,) = cluster.brokers
    broker.stop()
    (segment,) = broker.folder.glob(f"log/{topic}-0/*.log")
    segment.write_bytes(segment.read_bytes().replace(b"damaged two", b"dAmaged two"))
    broker.restart()
    source = make_source(topic, bootstrap=cluster.bootstrap)

    assert values(read(source, 2)) == [b"before", b"behind"]
    (skipped,) = source.skipped()
    assert (skipped.first, skipped.last) == (1, 2)
    assert skipped.reason == "bad_checksum"


def rewrite_batch(batch: bytes, change: Callable[[bytearray], None]) -> bytes:
    """A record batch with other bytes and a checksum that is right again, as a broken producer would have written."""
    changed = bytearray(batch)
    change(changed)
    changed[17:21] = crc32c(bytes(changed[21:])).to_bytes(4, "big")
    return bytes(changed)


def test_pitfall_6_batches_that_clients_cannot_decode_are_read_or_skipped(own_cluster, make_source: MakeSource):
    """A header name that is not UTF-8 makes the library's poll raise for ever; a wrong length, every client's."""
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    cluster.endpoint.produce(topic, [b"before"])
    cluster.endpoint.produce(topic, [b"odd header"], headers=[("name", b"x")])
    cluster.endpoint.produce(topic, [b"lying one", b"lying two"])
    cluster.endpoint.produce(topic, [b"behind"])
    (broker,) = cluster.brokers
    broker.stop()
    (segment,) = broker.folder.glob(f"log/{topic}-0/*.log")
    written, parts, start = segment.read_bytes(), [], 0
    while start < len(written):
        end = start + 12 + int.from_bytes(written[start + 8 : start + 12], "big")
        parts.append(written[start:end])
        start = end

    def spoil_header(batch: bytearray) -> None:
        batch[:] = batch.replace(b"name", b"n\xff\xfee")

    def lie_about_length(batch: bytearray) -> None:
        batch[61] = 0x7E

    parts[1], parts[2] = rewrite_batch(parts[1], spoil_header), rewrite_batch(parts[2], lie_about_length)
    segment.write_bytes(b"".join(parts))
    broker.restart()
    source = make_source(topic, bootstrap=cluster.bootstrap)

    assert values(read(source, 3)) == [b"before", b"odd header", b"behind"]
    (skipped,) = source.skipped()
    assert (skipped.first, skipped.last, skipped.reason) == (2, 3, "unreadable_batch")


def test_source_reads_on_after_its_broker_was_killed(own_cluster, make_source: MakeSource):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    cluster.endpoint.produce(topic, [b"a"])
    source = make_source(topic, bootstrap=cluster.bootstrap)
    assert values(read(source, 1)) == [b"a"]
    source.commit({(topic, 0): 1})

    cluster.brokers[0].kill()
    assert source.poll(0.5) == []
    cluster.brokers[0].restart()
    cluster.endpoint.produce(topic, [b"b"])

    assert values(read(source, 1)) == [b"b"]
    source.commit({(topic, 0): 2})
    assert cluster.endpoint.committed(source._section.group_id, topic) == 2


def test_g12_poll_commit_and_close_are_bounded_with_a_frozen_broker(own_cluster, make_source: MakeSource):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    cluster.endpoint.produce(topic, [b"a"])
    source = once_answered(lambda: make_source(topic, bootstrap=cluster.bootstrap, timeout_seconds=2))
    once_answered(lambda: read(source, 1))
    settle(source)

    cluster.brokers[0].pause()
    with Stopwatch() as watch:
        assert source.poll(0.5) == []
        assert source.lag() == {(topic, 0): 0}
        with pytest.raises(BrokerUnreachable, match="committing"):
            source.commit({(topic, 0): 1})
        source.close(timeout_seconds=1)

    assert watch.seconds < 8


def test_frozen_broker_loses_nothing(own_cluster, make_sink: MakeSink):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    sink = make_sink(topic, bootstrap=cluster.bootstrap, max_in_flight=2, delivery_timeout_seconds=PATIENCE_SECONDS)
    sink.send(Message(None, b"a"))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)

    cluster.brokers[0].pause()
    sink.send(Message(None, b"b"))
    with Stopwatch() as watch, pytest.raises(DeliveryError, match="1 messages are not acknowledged") as caught:
        sink.flush(timeout_seconds=0.5)
    assert caught.value.retriable
    assert watch.seconds < 2
    sink.send(Message(None, b"c"))
    thaw = threading.Timer(0.5, cluster.brokers[0].resume)
    thaw.start()
    sink.send(Message(None, b"d"))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)
    thaw.join()

    assert [m.value() for m in cluster.endpoint.read(topic, 4)] == [b"a", b"b", b"c", b"d"]


def test_silent_broker_is_not_reported_as_a_missing_topic(own_cluster, make_sink: MakeSink):
    topic = own_cluster.endpoint.create_topic()
    sink = once_answered(lambda: make_sink(topic, bootstrap=own_cluster.bootstrap, timeout_seconds=3))
    sink._topic = "no-such-topic"

    own_cluster.brokers[0].pause()
    with pytest.raises(BrokerUnreachable, match="looking up sink topic no-such-topic: no answer"):
        sink._require_topic()
    own_cluster.brokers[0].resume()
    with pytest.raises(TopicMissing):
        once_answered(sink._require_topic)


def test_g12_send_flush_and_close_are_bounded_with_a_frozen_broker(own_cluster, make_sink: MakeSink):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    sink = make_sink(topic, bootstrap=cluster.bootstrap, max_in_flight=1, delivery_timeout_seconds=2)

    cluster.brokers[0].pause()
    sink.send(Message(None, b"a"))
    with Stopwatch() as watch:
        with pytest.raises(DeliveryError):
            sink.send(Message(None, b"b"))
        sink.close(timeout_seconds=1)
        sink.close(timeout_seconds=1)

    assert watch.seconds < 6


def test_g11_messages_in_flight_are_bounded_while_the_broker_does_not_answer(own_cluster, make_sink: MakeSink):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    sink = make_sink(topic, bootstrap=cluster.bootstrap, max_in_flight=20, delivery_timeout_seconds=5)

    cluster.brokers[0].pause()
    taken = 0
    with suppress(DeliveryError):
        for _ in range(100):
            sink.send(Message(None, bytes(1_000)))
            taken += 1

    assert taken == 20


def test_connection_closed_after_accept_is_retried_with_growing_pauses(own_cluster, make_source: MakeSource):
    topic = own_cluster.endpoint.create_topic()
    own_cluster.endpoint.produce(topic, [b"a"])
    with Network(own_cluster.links) as network:
        source = make_source(topic, bootstrap=network.bootstrap(0)[0])
        read(source, 1)
        before = network.connections
        network.do(0, "cut")
        began = time.monotonic()
        while time.monotonic() - began < 4 or network.connections - before < 4:
            assert time.monotonic() - began < PATIENCE_SECONDS, "it does not try"
            with suppress(BrokerUnreachable):
                source.poll(0.2)
        tried = network.connections - before
        network.do(0, "mend")
        own_cluster.endpoint.produce(topic, [b"b"])

        assert values(read(source, 1)) == [b"b"]
        assert tried < 40
        source.close(timeout_seconds=2)
