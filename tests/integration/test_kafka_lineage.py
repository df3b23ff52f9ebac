"""G5: offsets that belong to another log, although the present log has records at them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from detector.errors import BrokerUnreachable, LogTruncated, OffsetLost, TopicRecreated
from detector.protocols import SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage
from detector.sources.kafka import KafkaSource
from tests.integration.driving import MakeSource, drive, drive_until_skipped, nothing_comes, read, values
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration


def read_and_recreate(kafka: Endpoint, make_source: MakeSource) -> tuple[str, Lineage]:
    """A topic with 12 records, recreated after 10 records of the old one were read; the lineage of those."""
    topic = kafka.create_topic()
    kafka.produce(topic, [b"old %d" % i for i in range(10)])
    source = make_source(topic)
    read(source, 10)
    lineage = source.lineage((topic, 0))
    source.close(timeout_seconds=30)
    recreate(kafka, topic)
    return topic, lineage


def recreate(kafka: Endpoint, topic: str) -> None:
    kafka.delete_topic(topic)
    eventually(lambda: topic not in kafka.topics(), "the topic is gone")
    kafka.create_topic(topic)
    kafka.produce(topic, [b"new %d" % i for i in range(12)])


def go_on(source: KafkaSource, topic: str, lineage: Lineage) -> None:
    """As a worker does that has just restored ten records' worth of state."""
    drive(source, until=lambda: len(source._consumer.assignment()) == 1)
    source.pause(frozenset({(topic, 0)}))
    source.seek((topic, 0), 10, lineage)
    source.resume(frozenset({(topic, 0)}))


def test_g5_recreated_topic_is_detected(kafka: Endpoint, make_source: MakeSource):
    topic, lineage = read_and_recreate(kafka, make_source)
    assert lineage.topic_id

    source = make_source(topic)
    go_on(source, topic, lineage)
    with pytest.raises(TopicRecreated, match=r"created again since offset \d+ was read; its log holds \[0, 12\)"):
        read(source, 1)

    source = make_source(topic, group_id=kafka.name())
    go_on(source, topic, UNKNOWN_LINEAGE)
    assert values(read(source, 2)) == [b"new 10", b"new 11"], "without the lineage nobody could know"


@pytest.mark.parametrize("policy", ["earliest", "latest"])
def test_g5_on_offset_lost_decides_the_position_in_a_recreated_topic(
    kafka: Endpoint, make_source: MakeSource, policy: str
):
    topic, lineage = read_and_recreate(kafka, make_source)
    source = make_source(topic, on_offset_lost=policy)
    go_on(source, topic, lineage)

    if policy == "earliest":
        assert values(read(source, 12)) == [b"new %d" % i for i in range(12)]
        assert source.skipped() == []
    else:
        _, skipped = drive_until_skipped(source)
        assert skipped == [SkippedRange(topic, 0, 0, 11, "topic_recreated")]
        kafka.produce(topic, [b"later"])
        assert values(read(source, 1)) == [b"later"]
    assert source.lineage((topic, 0)).topic_id not in ("", lineage.topic_id)


@pytest.mark.parametrize("answered", [True, False])
def test_g5_records_of_other_topics_are_kept_while_one_is_recreated(
    kafka: Endpoint, make_source: MakeSource, answered: bool
):
    topic, other = kafka.create_topic(), kafka.create_topic()
    kafka.produce(topic, [b"old"])
    source = make_source(topic, topics=[topic, other], on_offset_lost="earliest", max_poll_records=1)
    read(source, 1)
    kafka.produce(other, [b"first", b"second"])
    assert values(read(source, 1)) == [b"first"], "and the client holds the second one"
    recreate(kafka, topic)
    source._refresh_metadata()
    failures = [] if answered else [BrokerUnreachable("told to be")]

    def refresh() -> None:
        if failures:
            raise failures.pop()
        source._refresh_metadata()

    source._lineages._refresh = refresh
    assert values(read(source, 1)) == [b"second"]
    assert not failures
    assert values(read(source, 12)) == [b"new %d" % i for i in range(12)]


def cut_log(cluster: Cluster, topic: str, batches: int) -> None:
    """The broker dies and loses all but the first batches of a partition, as a disk that lied about a sync."""
    (broker,) = cluster.brokers
    broker.kill()
    folder: Path = broker.folder / "log" / f"{topic}-0"
    (segment,) = folder.glob("*.log")
    blob, end = segment.read_bytes(), 0
    for _ in range(batches):
        (size,) = struct.unpack_from(">i", blob, end + 8)
        end += 12 + size
    assert end < len(blob), "there is something to lose"
    segment.write_bytes(blob[:end])
    for name in ("recovery-point-offset-checkpoint", "replication-offset-checkpoint"):
        (broker.folder / "log" / name).unlink(missing_ok=True)
    broker.restart()


def read_to_its_end(cluster: Cluster, make_source: MakeSource) -> tuple[str, Lineage]:
    """A topic of ten batches of a record each, and what a reader knew of its log at the end."""
    topic = cluster.endpoint.create_topic()
    for number in range(10):
        cluster.endpoint.produce(topic, [b"old %d" % number])
    source = make_source(topic, bootstrap=cluster.bootstrap)
    read(source, 10)
    lineage = source.lineage((topic, 0))
    source.close(timeout_seconds=30)
    return topic, lineage


@pytest.mark.parametrize("policy", ["stop", "earliest"])
def test_g5_log_truncated_and_filled_again_is_detected(own_cluster, make_source: MakeSource, policy: str):
    cluster, (topic, lineage) = own_cluster, read_to_its_end(own_cluster, make_source)
    cut_log(cluster, topic, batches=4)
    cluster.endpoint.produce(topic, [b"new %d" % number for number in range(4, 14)])

    source = make_source(topic, bootstrap=cluster.bootstrap, on_offset_lost=policy)
    go_on(source, topic, lineage)
    if policy == "earliest":
        assert values(read(source, 10)) == [b"new %d" % number for number in range(4, 14)]
        assert source.lineage((topic, 0)).leader_epoch > lineage.leader_epoch
    else:
        with pytest.raises(LogTruncated, match="records from offset 4 on, read up to 10, are gone") as caught:
            read(source, 1)
        assert isinstance(caught.value, OffsetLost)


def test_g5_truncation_is_detected_by_a_reader_at_the_end_of_the_log(own_cluster, make_source: MakeSource):
    cluster, (topic, lineage) = own_cluster, read_to_its_end(own_cluster, make_source)

    source = make_source(topic, bootstrap=cluster.bootstrap)
    go_on(source, topic, lineage)
    assert nothing_comes(source, 2.0), "and the broker has said so"
    cut_log(cluster, topic, batches=4)
    cluster.endpoint.produce(topic, [b"new %d" % number for number in range(4, 14)])
    with pytest.raises(LogTruncated, match="records from offset 4 on, read up to 10, are gone"):
        read(source, 1)
