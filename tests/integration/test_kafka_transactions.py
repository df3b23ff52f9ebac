"""Input written in transactions: what is never handed out is passed all the same, and may be deleted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from detector.protocols import SkippedRange
from detector.records import Lineage
from detector.sources.kafka import KafkaSource
from tests.integration.driving import MakeSource, drive, drive_until_skipped, read, values, wait_for_change
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import Endpoint

pytestmark = pytest.mark.integration

BOMB = bytes(65 << 20)


class Transactions:
    """A transactional producer of one topic."""

    def __init__(self, kafka: Endpoint, topic: str) -> None:
        self.producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka.name())
        self.producer.init_transactions()
        self.topic = topic

    def begin(self, *records: bytes) -> None:
        self.producer.begin_transaction()
        for record in records:
            self.producer.send(self.topic, record).get(60)

    def write(self, *records: bytes) -> None:
        self.begin(*records)
        self.producer.commit_transaction()

    def abort(self, *records: bytes) -> None:
        self.begin(*records)
        self.producer.abort_transaction()


@pytest.fixture
def topic(kafka: Endpoint) -> str:
    return kafka.create_topic()


@pytest.fixture
def transactions(kafka: Endpoint, topic: str) -> Iterator[Transactions]:
    writer = Transactions(kafka, topic)
    yield writer
    writer.producer.close()


def read_to_end(kafka: Endpoint, source: KafkaSource, topic: str) -> list[bytes | None]:
    """Everything up to the marker of the last transaction, which the broker writes some time after its commit."""

    def is_at_end() -> bool:
        return source.lag() == {(topic, 0): 0} and source.ends() == {(topic, 0): kafka.end_offset(topic)}

    return values(drive(source, until=is_at_end))


def restored(source: KafkaSource, topic: str, offset: int, lineage: Lineage) -> KafkaSource:
    """The source when a worker has restored the partition's state."""
    assert wait_for_change(source).assigned == {(topic, 0)}
    source.seek((topic, 0), offset, lineage)
    source.resume(frozenset({(topic, 0)}))
    return source


@pytest.mark.parametrize("keeps_state", [True, False])
def test_g5_markers_and_aborted_records_at_the_end_are_passed_and_may_expire(
    kafka: Endpoint, make_source: MakeSource, topic: str, transactions: Transactions, keeps_state: bool
) -> None:
    group = kafka.name("group")
    transactions.write(b"a", b"b")
    transactions.abort(b"?")
    first = make_source(topic, group_id=group)
    assert read_to_end(kafka, first, topic) == [b"a", b"b"]
    end, lineage = kafka.end_offset(topic), first.lineage((topic, 0))
    assert end == 5
    first.commit({(topic, 0): 2})
    first.close(timeout_seconds=30)

    assert kafka.committed(group, topic) == end, "no lag remains"
    kafka.delete_records_before(topic, 0, end)
    second = make_source(topic, group_id=group)
    if keeps_state:
        restored(second, topic, 2, lineage)
    transactions.write(b"c")
    assert values(read(second, 1)) == [b"c"]
    assert second.skipped() == []


def test_g5_marker_of_a_later_leader_is_no_truncation(own_cluster: Cluster, make_source: MakeSource) -> None:
    kafka, (broker,) = own_cluster.endpoint, own_cluster.brokers
    topic = kafka.create_topic()
    source = make_source(topic, bootstrap=kafka.bootstrap)
    transactions = Transactions(kafka, topic)
    transactions.write(b"a")
    assert read_to_end(kafka, source, topic) == [b"a"]
    broker.stop()
    broker.restart()
    transactions.abort(b"?")
    assert read_to_end(kafka, source, topic) == []
    source.commit({(topic, 0): 1})
    source.close(timeout_seconds=30)

    transactions.write(b"b")
    transactions.producer.close()
    assert values(read(make_source(topic, bootstrap=kafka.bootstrap), 1)) == [b"b"]


def test_g5_position_behind_an_older_snapshot_is_not_taken_from_the_group(
    kafka: Endpoint, make_source: MakeSource, topic: str, transactions: Transactions
) -> None:
    group = kafka.name("group")
    transactions.write(b"a", b"b")
    first = make_source(topic, group_id=group)
    read_to_end(kafka, first, topic)
    lineage = first.lineage((topic, 0))
    first.commit({(topic, 0): 2})
    first.close(timeout_seconds=30)

    assert values(read(restored(make_source(topic, group_id=group), topic, 1, lineage), 1)) == [b"b"]


def test_g5_skipped_range_is_not_passed_before_it_is_reported(
    kafka: Endpoint, make_source: MakeSource, topic: str
) -> None:
    group = kafka.name("group")
    kafka.produce(topic, [b"a"])
    kafka.produce(topic, [BOMB], compression_type="zstd", message_max_bytes=100 << 20)
    source = make_source(topic, group_id=group)
    assert read_to_end(kafka, source, topic) == [b"a"]

    source.commit({(topic, 0): 1})
    assert kafka.committed(group, topic) == 1
    assert drive_until_skipped(source)[1] == [SkippedRange(topic, 0, 1, 1, "inflates_too_far")]
    source.commit({(topic, 0): 1})
    assert kafka.committed(group, topic) == 1, "what was reported may not be acknowledged yet"


def test_open_transaction_holds_back_what_follows_and_counts_as_lag(
    kafka: Endpoint, make_source: MakeSource, topic: str, transactions: Transactions
) -> None:
    kafka.produce(topic, [b"a"])
    transactions.begin(b"b")
    kafka.produce(topic, [b"c"])
    source = make_source(topic)

    assert values(drive(source, until=lambda: source.lag() == {(topic, 0): 2})) == [b"a"]
    transactions.producer.commit_transaction()
    assert read_to_end(kafka, source, topic) == [b"b", b"c"]
