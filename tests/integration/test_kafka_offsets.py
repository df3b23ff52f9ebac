"""G5: where a group continues when offsets, topics or partitions changed; and commits before a rebalance."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from kafka import KafkaAdminClient

from detector.errors import LogTruncated, PartitionsChanged, TopicRecreated
from detector.protocols import SkippedRange
from detector.records import RawBatch
from detector.sources.kafka import KafkaSource
from tests.integration.driving import MakeSource, drive, drive_until_skipped, read, values, wait_for_change
from tests.integration.test_kafka_lineage import cut_log, recreate
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint, patiently

pytestmark = pytest.mark.integration


def commit_as_before(kafka: Endpoint, group: str, topic: str, offset: int, metadata: str) -> None:
    """An offset of the topic's predecessor that outlived it, as when a group's offsets are copied or restored."""
    consumer = Consumer({**kafka.options, "group.id": group})
    try:
        place = TopicPartition(topic, 0, offset, metadata)
        patiently(lambda: consumer.commit(offsets=[place], asynchronous=False), f"{group} is said to be at {offset}")
    finally:
        consumer.close()


def metadata_of(kafka: Endpoint, group: str, topic: str) -> str:
    """As kafka-python reads it: librdkafka's bindings read beyond its end, now and then."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        return str(admin.list_group_offsets(group)[group][topic, 0].metadata)
    finally:
        admin.close()


def add_partition(kafka: Endpoint, source: KafkaSource, topic: str) -> None:
    kafka.set_partitions(topic, 2)
    kafka.produce(topic, [b"new"], partition=1)
    source._consumer._cluster.request_update()  # else within a minute


def test_g5_recreated_topic_is_detected_from_committed_offsets_alone(kafka: Endpoint, make_source: MakeSource):
    topic, group = kafka.create_topic(), kafka.name("group")
    kafka.produce(topic, [b"old %d" % i for i in range(10)])
    first = make_source(topic, group_id=group)
    read(first, 10)
    first.commit({(topic, 0): 10})
    first.close(timeout_seconds=30)
    metadata = metadata_of(kafka, group, topic)
    assert metadata.startswith("topic-id:")
    recreate(kafka, topic)
    commit_as_before(kafka, group, topic, 10, metadata)

    with pytest.raises(TopicRecreated, match=r"its log holds \[0, 12\) now"):
        read(make_source(topic, group_id=group), 1)


@pytest.mark.parametrize("policy", ["stop", "earliest", "latest"])
def test_g5_topic_recreated_while_it_is_read_is_not_a_first_start(
    kafka: Endpoint, make_source: MakeSource, policy: str
):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"old"])
    source = make_source(topic, start="latest" if policy == "earliest" else "earliest", on_offset_lost=policy)
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    recreate(kafka, topic)
    source._consumer._cluster.request_update()

    # Until the client hears of it, it may read some of the new topic at the old position.
    if policy == "stop":
        with pytest.raises(TopicRecreated):
            drive(source, until=lambda: False)
    elif policy == "earliest":
        batches: list[RawBatch] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while values(batches)[-12:] != [b"new %d" % i for i in range(12)]:
            assert time.monotonic() < deadline, "it did not begin at the beginning"
            batches += source.poll(0.1)
            source.resume(source.changes().assigned)
    else:
        assert drive_until_skipped(source)[1] == [SkippedRange(topic, 0, 0, 11, "topic_recreated")]


def test_g5_topic_deleted_and_created_later_is_read_from_its_start(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic, start="latest", on_offset_lost="earliest")
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    kafka.delete_topic(topic)

    def gone() -> bool:
        source._consumer._cluster.request_update()
        return not source._consumer.assignment()

    drive(source, until=gone)
    kafka.create_topic(topic)
    kafka.produce(topic, [b"new"])
    source._consumer._cluster.request_update()

    assert values(read(source, 1)) == [b"new"], "to begin at the end would leave it out"


def test_g5_new_partition_is_read_from_its_start_although_the_first_start_is_at_the_end(
    kafka: Endpoint, make_source: MakeSource
):
    topic = kafka.create_topic()
    source = make_source(topic, start="latest")
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    add_partition(kafka, source, topic)

    (batch,) = read(source, 1)
    assert (batch.partition, batch.values) == (1, [b"new"])


def test_g5_new_partition_is_an_error_if_configured(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic, on_new_partition="stop")
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    add_partition(kafka, source, topic)

    with pytest.raises(PartitionsChanged, match=rf"{topic}/1: group .* source\.kafka\.on_new_partition to earliest"):
        read(source, 1)


def test_g5_skipped_records_of_a_new_partition_are_recorded(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic, on_new_partition="latest")
    drive(source, until=lambda: source.lag() == {(topic, 0): 0})
    add_partition(kafka, source, topic)

    assert drive_until_skipped(source)[1] == [SkippedRange(topic, 1, 0, 0, "partitions_changed")]


def test_g5_first_start_applies_to_every_member(kafka: Endpoint, make_source: MakeSource):
    """The second member's partition is not taken for a new one, which would be read from its start."""
    topic, group = kafka.create_topic(partitions=2), kafka.name("group")
    for partition in range(2):
        kafka.produce(topic, [b"before"], partition=partition)
    first = make_source(topic, group_id=group, start="latest")
    drive(first, until=lambda: kafka.committed(group, topic, 0) == kafka.committed(group, topic, 1) == 1)
    first.close(timeout_seconds=30)
    for partition in range(2):
        kafka.produce(topic, [b"behind"], partition=partition)

    assert values(read(make_source(topic, group_id=group, start="latest"), 2)) == [b"behind"] * 2


@pytest.mark.parametrize("a_checkpoint_is_due", [False, True])
def test_g5_position_comes_from_the_state_when_the_groups_offsets_are_gone(
    kafka: Endpoint, make_source: MakeSource, capsys: pytest.CaptureFixture[str], a_checkpoint_is_due: bool
):
    topic, group = kafka.create_topic(), kafka.name("group")
    kafka.produce(topic, [b"%d" % i for i in range(6)])
    source = make_source(topic, group_id=group, start="latest")
    restored = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not restored:
        assert time.monotonic() < deadline
        source.poll(0.1)
        assigned = source.changes().assigned
        if assigned:
            source.seek((topic, 0), 4)
            source.resume(assigned)
            restored = True
    if a_checkpoint_is_due:
        source.commit({(topic, 0): 4})

    assert values(read(source, 2)) == [b"4", b"5"]
    assert "the group has no offset" in capsys.readouterr().out
    source.commit({(topic, 0): 6})
    assert kafka.committed(group, topic) == 6


def test_g5_partition_without_state_does_not_move_those_with_state_when_offsets_are_gone(
    kafka: Endpoint, make_source: MakeSource, capsys: pytest.CaptureFixture[str]
):
    """The first is read already when it is found that there is nothing to restore of the second."""
    topic, group = kafka.create_topic(partitions=2), kafka.name("group")
    kafka.produce(topic, [b"%d" % i for i in range(6)])
    kafka.produce(topic, [b"before"], partition=1)
    source = make_source(topic, group_id=group, start="latest")
    assert wait_for_change(source).assigned == {(topic, 0), (topic, 1)}
    source.seek((topic, 0), 4)
    source.resume(frozenset({(topic, 0), (topic, 1)}))

    assert values(read(source, 2)) == [b"4", b"5"]
    assert "the group has no offset" in capsys.readouterr().out
    kafka.produce(topic, [b"behind"], partition=1)
    assert values(read(source, 1)) == [b"behind"]


def test_g5_offset_set_by_an_admin_tool_is_not_ignored_silently(
    kafka: Endpoint, make_source: MakeSource, capsys: pytest.CaptureFixture[str]
):
    topic, group = kafka.create_topic(), kafka.name("group")
    kafka.produce(topic, [b"%d" % i for i in range(6)])
    first = make_source(topic, group_id=group)
    read(first, 6)
    lineage = first.lineage((topic, 0))
    first.commit({(topic, 0): 6})
    first.close(timeout_seconds=30)

    for offset, line in [(6, 0), (2, 1)]:
        if line:
            commit_as_before(kafka, group, topic, offset, "")
        source = make_source(topic, group_id=group)
        assert wait_for_change(source).assigned == {(topic, 0)}
        source.seek((topic, 0), 4, lineage)
        source.resume(frozenset({(topic, 0)}))
        assert values(read(source, 2)) == [b"4", b"5"], "the state decides"
        assert capsys.readouterr().out.count("another program has set the group's offset") == line
        source.close(timeout_seconds=30)


def test_pitfall_13_leader_epoch_is_committed_with_the_offset(own_cluster, make_source: MakeSource):
    cluster = own_cluster
    topic = cluster.endpoint.create_topic()
    for number in range(10):
        cluster.endpoint.produce(topic, [b"old %d" % number])
    first = make_source(topic, bootstrap=cluster.bootstrap)
    read(first, 10)
    first.commit({(topic, 0): 10})
    first.close(timeout_seconds=30)
    cut_log(cluster, topic, batches=4)
    cluster.endpoint.produce(topic, [b"new %d" % number for number in range(4, 14)])

    with pytest.raises(LogTruncated, match="records from offset 4 on, read up to 10, are gone"):
        read(make_source(topic, bootstrap=cluster.bootstrap), 1)


def test_commit_succeeds_between_the_announcement_of_a_rebalance_and_its_start(
    kafka: Endpoint, make_source: MakeSource
):
    topic = kafka.create_topic(partitions=2)
    for partition in range(2):
        kafka.produce(topic, [b"%d" % partition] * 3, partition=partition)
    first = make_source(topic)
    read(first, 6)
    # The library may have heard of the topic once more and join anew for it: that is another rebalance.
    drive(first, until=lambda: first._consumer._coordinator.stable() and not first._membership.announced)
    second = make_source(topic)

    given = frozenset[tuple[str, int]]()
    imminent, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while not given:
        assert time.monotonic() < deadline, "no rebalance"
        second.poll(0.1)
        given |= second.changes().assigned
        first.poll(0.1)
        changes = first.changes()
        if changes.imminent:
            imminent += 1
            assert not changes.revoked
            first.commit({(topic, 0): 3, (topic, 1): 3})  # raises where it is too late
    assert imminent == 1
    second.resume(given)
    kafka.produce(topic, [b"behind"], partition=next(iter(given))[1])
    assert values(read(second, 1)) == [b"behind"], "nothing is read twice"
