"""The source against a real broker."""

from __future__ import annotations

import time

import numpy as np
import pytest
from confluent_kafka import Consumer
from kafka import KafkaProducer
from kafka.coordinator.assignors.abstract import RebalanceProtocol

from detector.errors import BrokerUnreachable, MemberFenced, OffsetLost, SourceError, TopicMissing
from detector.protocols import AssignmentChanges
from detector.records import Partition
from detector.sources.kafka import KafkaSource
from tests.integration.driving import (
    MakeSource,
    drive,
    drive_until_skipped,
    nothing_comes,
    read,
    values,
    wait_for_change,
)
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint, eventually
from tests.stopwatch import undisturbed

pytestmark = pytest.mark.integration


def test_record_has_offset_time_key_and_value(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(
        topic,
        [(b"k", b"a"), (None, None), b""],
        headers=[("trace", b"x"), ("n", None)],
        timestamps_ms=[1_500, 2_000, 7],
    )

    (batch,) = read(make_source(topic), 3)

    assert (batch.topic, batch.partition) == (topic, 0)
    assert batch.offsets.tolist() == [0, 1, 2]
    assert batch.offsets.dtype == np.int64
    assert batch.record_times.tolist() == [1.5, 2.0, 0.007]
    assert batch.values == [b"a", None, b""]
    assert batch.keys == [b"k", None, None]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(kafka: Endpoint, make_source: MakeSource, codec: str):
    topic = kafka.create_topic()
    written: list[bytes] = [b"value %d " % i * 20 for i in range(500)]
    kafka.produce(topic, written, compression_type=codec)

    assert values(read(make_source(topic), 500)) == written


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_the_pure_python_producer_is_read(kafka: Endpoint, make_source: MakeSource, codec: str):
    topic = kafka.create_topic()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, compression_type=codec, linger_ms=50)
    for i in range(200):
        producer.send(topic, b"value %d " % i * 20)
    producer.close()

    assert len(read(make_source(topic), 200)) >= 1


def test_assigned_partition_delivers_nothing_until_resumed(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])
    source = make_source(topic)

    assert wait_for_change(source) == AssignmentChanges(assigned=frozenset({(topic, 0)}), settled=True)
    assert nothing_comes(source)
    source.resume(frozenset({(topic, 0)}))
    assert values(read(source, 1)) == [b"a"]


def test_restart_continues_at_the_committed_offset(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a", b"b", b"c"])
    first = make_source(topic)
    read(first, 3)
    first.commit({(topic, 0): 2})
    first.close(timeout_seconds=30)

    assert values(read(make_source(topic), 1)) == [b"c"]


def test_pitfall_4_nothing_is_committed_automatically(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    group = kafka.name()
    kafka.produce(topic, [b"a", b"b"])
    source = make_source(topic, group_id=group)
    read(source, 2)
    source.close(timeout_seconds=30)

    assert kafka.committed(group, topic) == 0, "where the first start began, and no further"


def test_latest_is_the_end_at_the_first_start_even_after_a_crash(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    group = kafka.name()
    kafka.produce(topic, [b"before"])
    first = make_source(topic, start="latest", group_id=group)
    drive(first, until=lambda: kafka.committed(group, topic) == 1)
    first.close(timeout_seconds=30)
    kafka.produce(topic, [b"while away"])

    assert values(read(make_source(topic, start="latest", group_id=group), 1)) == [b"while away"]


def test_offsets_of_unassigned_partitions_are_not_committed(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    group = kafka.name()
    source = make_source(topic, group_id=group)
    source.commit({(topic, 0): 7, ("another", 3): 1})

    assert kafka.committed(group, topic) is None


def test_seek_moves_back_and_forward(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    written: list[bytes] = [b"%d" % i for i in range(10)]
    kafka.produce(topic, written)
    source = make_source(topic)
    read(source, 10)

    source.seek((topic, 0), 3)
    assert values(read(source, 7)) == written[3:]
    source.seek((topic, 0), 9)
    assert values(read(source, 1)) == written[9:]
    source.seek(("another", 0), 1)


def test_records_fetched_before_a_seek_are_not_delivered(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    written: list[bytes] = [b"%d" % i for i in range(100)]
    kafka.produce(topic, written)
    source = make_source(topic, max_poll_records=10)
    assert values(read(source, 10)) == written[:10]

    source.seek((topic, 0), 95)

    assert values(read(source, 5)) == written[95:]


def test_paused_partition_keeps_its_position(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic(partitions=2)
    kafka.produce(topic, [b"a", b"b"], partition=0)
    kafka.produce(topic, [b"c"], partition=1)
    source = make_source(topic)
    read(source, 3)

    source.pause(frozenset({(topic, 0)}))
    kafka.produce(topic, [b"d"], partition=0)
    kafka.produce(topic, [b"e"], partition=1)
    assert values(read(source, 1)) == [b"e"]
    assert nothing_comes(source)
    source.resume(frozenset({(topic, 0)}))
    (batch,) = read(source, 1)

    assert (batch.offsets.tolist(), batch.values) == ([2], [b"d"])


def test_pitfall_4_poll_is_bounded(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    written: list[bytes] = [b"%d" % i for i in range(1_000)]
    kafka.produce(topic, written)

    batches = read(make_source(topic, max_poll_records=64), 1_000)

    assert max(map(len, batches)) <= 64
    assert values(batches) == written
    assert np.concatenate([batch.offsets for batch in batches]).tolist() == list(range(1_000))


def test_lag_counts_records_not_yet_read(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic, max_poll_records=4)
    assert source.lag() == {}
    kafka.produce(topic, [b"%d" % i for i in range(10)])

    assert values(read(source, 4)) == [b"0", b"1", b"2", b"3"]
    assert (source.lag(), source.ends()) == ({(topic, 0): 6}, {(topic, 0): 10})
    read(source, 6)
    assert source.lag() == {(topic, 0): 0}


def test_two_members_share_partitions_and_hand_them_over(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic(partitions=4)
    every: frozenset[Partition] = frozenset((topic, partition) for partition in range(4))
    for partition in range(4):
        kafka.produce(topic, [b"%d" % partition] * 3, partition=partition)
    first = make_source(topic)
    assert wait_for_change(first).assigned == every
    first.resume(every)
    read(first, 12)

    second = make_source(topic)
    given: frozenset[Partition] = frozenset()
    kept: frozenset[Partition] = frozenset()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (given and kept):
        assert time.monotonic() < deadline, "no rebalance"
        assert first.poll(0.1) == [], "what stays is not read again, though nothing was committed"
        second.poll(0.1)
        given |= second.changes().assigned
        changes = first.changes()
        assert not changes.assigned
        assert not changes.lost
        kept = every - changes.revoked if changes.revoked else kept
    assert len(given) == 2
    assert given == every - kept

    first.commit(dict.fromkeys(every, 3))
    second.resume(given)
    assert {batch.partition for batch in read(second, 6)} == {partition for _, partition in given}, "none was committed"


def test_g4_pitfall_3_evicted_member_gets_its_partitions_as_lost(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])
    stalled = make_source(topic)
    read(stalled, 1)
    stalled._consumer._coordinator.reset_generation()  # what an eviction leaves behind

    changes = wait_for_change(stalled)

    assert changes.lost == {(topic, 0)}
    assert changes.revoked == frozenset()


def held(before: frozenset[Partition], changes: AssignmentChanges) -> frozenset[Partition]:
    """What a member has after these changes."""
    return (before - changes.revoked - changes.lost) | changes.assigned


def test_static_member_returns_to_its_partitions_without_a_rebalance(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic(partitions=2)
    group = kafka.name()
    one = make_source(topic, group_id=group, group_instance_id="one")
    two = make_source(topic, group_id=group, group_instance_id="two")
    owned: frozenset[Partition] = frozenset()
    kept: frozenset[Partition] = frozenset()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not len(owned) == len(kept) == 1:  # either may be the first to hear what the other has got
        assert time.monotonic() < deadline
        one.poll(0.1)
        two.poll(0.1)
        owned, kept = held(owned, two.changes()), held(kept, one.changes())

    two.close(timeout_seconds=30)
    again = make_source(topic, group_id=group, group_instance_id="two")
    found = wait_for_change(again).assigned
    one.poll(0.5)

    assert found == owned
    assert one.changes() == AssignmentChanges()


def test_pitfall_9_second_process_with_the_same_instance_id_fences_the_first(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"a"])
    first = make_source(topic, group_instance_id="same")
    read(first, 1)
    wait_for_change(make_source(topic, group_instance_id="same"))

    with pytest.raises(MemberFenced, match="group_instance_id"):
        first.commit({(topic, 0): 1})


def test_g5_deleted_position_is_an_error_by_default(kafka: Endpoint, make_source: MakeSource):
    source = _source_behind_the_log(kafka, make_source)

    with pytest.raises(OffsetLost, match=r"offset 1 is not in the log, which holds \[4, 6\)") as caught:
        drive(source, until=lambda: False)
    assert "on_offset_lost" in str(caught.value)


@pytest.mark.parametrize(("policy", "rest", "last_skipped"), [("earliest", [b"4", b"5"], 3), ("latest", [], 5)])
def test_g5_deleted_position_is_skipped_if_configured(
    kafka: Endpoint, make_source: MakeSource, policy: str, rest: list[bytes], last_skipped: int
):
    source = _source_behind_the_log(kafka, make_source, on_offset_lost=policy)

    batches, (lost,) = drive_until_skipped(source)
    assert (lost.first, lost.last, lost.reason) == (1, last_skipped, "offset_lost")
    assert values(batches + read(source, len(rest))) == rest


def _source_behind_the_log(kafka: Endpoint, make_source: MakeSource, **section: str) -> KafkaSource:
    topic = kafka.create_topic()
    kafka.produce(topic, [b"%d" % i for i in range(6)])
    first = make_source(topic)
    read(first, 6)
    first.commit({(topic, 0): 1})
    first.close(timeout_seconds=30)
    kafka.delete_records_before(topic, 0, 4)
    return make_source(topic, **section)


def test_pitfall_4_missing_topic_is_named_and_not_created(kafka: Endpoint, make_source: MakeSource):
    with pytest.raises(TopicMissing, match="no-such-topic does not exist"):
        make_source("no-such-topic")
    assert "no-such-topic" not in kafka.topics()


def test_session_timeout_beyond_the_brokers_limit_is_named(kafka: Endpoint, make_source: MakeSource):
    source = make_source(kafka.create_topic(), session_timeout_seconds=7_200.0)
    with pytest.raises(SourceError, match=r"does not accept source\.kafka\.session_timeout_seconds") as caught:
        drive(source, until=lambda: False)
    assert not caught.value.retriable


def test_group_of_another_program_is_named(kafka: Endpoint, make_source: MakeSource):
    topic, group = kafka.create_topic(), kafka.name("group")
    other = Consumer({**kafka.options, "group.id": group, "partition.assignment.strategy": "cooperative-sticky"})
    try:
        other.subscribe([topic])
        eventually(lambda: other.poll(0.1) is None and bool(other.assignment()), "the other one is a member")
        source = make_source(topic, group_id=group)
        with pytest.raises(SourceError, match=rf"group {group} has members of another program"):
            drive(source, until=lambda: False)
    finally:
        other.close()


def test_pitfall_3_partitions_are_assigned_eagerly(kafka: Endpoint, make_source: MakeSource):
    """The library's cooperative assignor lets an evicted member reclaim partitions that another member has by then."""
    source = make_source(kafka.create_topic())
    wait_for_change(source)

    assignors = source._consumer.config["partition_assignment_strategy"]
    assert {assignor.name for assignor in assignors} == {"sticky", "range"}
    assert source._consumer._coordinator._rebalance_protocol is RebalanceProtocol.EAGER


def test_unreachable_broker_is_named(make_source: MakeSource):
    def ask() -> None:
        why = r"127\.0\.0\.1:1 answers .*ECONNREFUSED.*bootstrap_servers"
        with pytest.raises(BrokerUnreachable, match=why) as caught:
            make_source("topic", bootstrap="127.0.0.1:1", timeout_seconds=2)
        assert caught.value.retriable

    undisturbed(ask)


def test_aborted_records_are_not_delivered(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=kafka.name())
    producer.init_transactions()
    for value, commits in [(b"a", True), (b"aborted", False), (b"b", True)]:
        producer.begin_transaction()
        producer.send(topic, value).get(60) if not commits else producer.send(topic, value)
        (producer.commit_transaction if commits else producer.abort_transaction)()
    producer.close()

    batches = read(make_source(topic), 2)

    assert values(batches) == [b"a", b"b"]
    assert [offset for batch in batches for offset in batch.offsets] == [0, 4], "markers count too"


def test_new_partition_is_found(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    source = make_source(topic)
    assert wait_for_change(source).assigned == {(topic, 0)}

    kafka.set_partitions(topic, 2)
    source._consumer._cluster.request_update()  # else within a minute

    assert wait_for_change(source).assigned == {(topic, 1)}


def test_g7_pitfall_7_decompression_bomb_is_skipped_and_named(kafka: Endpoint, make_source: MakeSource):
    topic = kafka.create_topic()
    kafka.produce(topic, [b"before"])
    kafka.produce(topic, [bytes(70 << 20)], compression_type="zstd", message_max_bytes=100 << 20)
    kafka.produce(topic, [b"behind"])
    source = make_source(topic)

    assert values(read(source, 2)) == [b"before", b"behind"]
    (skipped,) = source.skipped()
    assert (skipped.topic, skipped.partition, skipped.first, skipped.last) == (topic, 0, 1, 1)
    assert skipped.reason == "inflates_too_far"
    assert source.skipped() == []
