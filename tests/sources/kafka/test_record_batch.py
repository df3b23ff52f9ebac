"""Our reader of record batches compared with the client library's, and given arbitrary bytes."""

from __future__ import annotations

import gzip
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.structs import TopicPartition

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.errors import CodecMissing
from detector.protocols import SkippedRange
from detector.sources.kafka import KafkaSource
from detector.sources.kafka.record_batch import (
    GZIP,
    LZ4,
    SNAPPY,
    ZSTD,
    Row,
    UnreadableBatch,
    decode_rows,
    inflate,
    require_codecs,
)
from detector.sources.kafka.records import PartitionRows, Quarantine, raw_batch

CODECS = [0, GZIP, SNAPPY, LZ4, ZSTD]
records = st.tuples(
    st.integers(0, 1 << 42),
    st.none() | st.binary(max_size=200),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=80)), max_size=3),
)


def build(
    rows: list[Any], codec: int = 0, first_offset: int = 0, producer: int = -1, transactional: bool = False
) -> bytearray:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer,
        producer_epoch=0 if producer >= 0 else -1,
        base_sequence=0 if producer >= 0 else -1,
        batch_size=1 << 30,
    )
    for position, (time, key, value, headers) in enumerate(rows):
        assert builder.append(position, timestamp=time, key=key, value=value, headers=headers)
    batch = bytearray(builder.build())
    batch[:8] = first_offset.to_bytes(8, "big")  # the broker's doing; no checksum covers it
    return batch


def part(data: bytes, quarantine: Quarantine | None = None, offset: int = 0, **options: Any) -> PartitionRows:
    return PartitionRows(
        offset, TopicPartition("t", 3), MemoryRecords(data), quarantine=quarantine or Quarantine(), **options
    )


@given(st.lists(records, min_size=1, max_size=20), st.sampled_from(CODECS))
def test_reader_agrees_with_the_library(rows, codec):
    batch = bytes(build(rows, codec, first_offset=1 << 40))
    theirs: list[Row] = [(r.offset, r.timestamp, r.key, r.value) for r in DefaultRecordBatch(batch)]

    assert part(batch, offset=1 << 40).take(100) == theirs


def test_times_of_a_topic_with_log_append_time_are_the_brokers():
    batch = build([(5, None, b"a", []), (7, None, b"b", [])])
    batch[22] |= 1 << 3  # the attribute
    batch[35:43] = (9_000).to_bytes(8, "big")  # the largest time, which the broker sets to its own

    assert part(bytes(batch), check_crcs=False).take(9) == [(0, 9_000, None, b"a"), (1, 9_000, None, b"b")]
    assert [r.timestamp for r in DefaultRecordBatch(bytes(batch))] == [9_000, 9_000]


@given(st.binary(max_size=300), st.integers(-5, 1 << 31))
def test_arbitrary_bytes_are_read_or_rejected(payload, count):
    try:
        rows = decode_rows(payload, count, 0, 0, None)
    except UnreadableBatch:
        return
    assert len(rows) == max(0, count)


@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_damaged_batches_are_read_or_rejected(rows, data):
    payload = bytearray(build(rows)[61:])
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableBatch):
        decode_rows(bytes(payload), len(rows), 0, 0, None)


@given(st.binary(max_size=300), st.sampled_from(CODECS[1:] + [7]))
def test_arbitrary_compressed_bytes_are_inflated_or_rejected(payload, codec):
    with suppress(UnreadableBatch):
        assert len(inflate(codec, payload, limit=1_000)) <= 1_000


@pytest.mark.parametrize("codec", CODECS[1:])
def test_inflation_is_bounded(codec: int):
    payload = bytes(build([(0, None, bytes(100_000), [])], codec)[61:])

    assert len(inflate(codec, payload, limit=200_000)) > 100_000
    with pytest.raises(UnreadableBatch, match="decompresses to more than") as caught:
        inflate(codec, payload, limit=50_000)
    assert caught.value.reason == "inflates_too_far"


def test_truncated_compression_is_rejected():
    for codec, whole in [(GZIP, gzip.compress(b"x" * 1_000)), (ZSTD, zstandard.compress(b"xyz" * 1_000))]:
        with pytest.raises(UnreadableBatch):
            decode_rows(inflate(codec, whole[:-6]), 3, 0, 0, None)


def test_header_name_that_is_not_utf_8_is_read():
    batch = build([(5, None, b"value", [("name", b"x")])])
    payload = bytes(batch[61:]).replace(b"name", b"n\xff\xfee")

    assert decode_rows(payload, 1, 7, 5, None) == [(7, 5, None, b"value")]


def test_read_is_bounded_and_can_start_within_a_batch():
    data = build([(0, None, b"%d" % i, []) for i in range(10)]) + build([(0, None, b"x", [])], first_offset=15)
    reader = part(bytes(data), offset=4)

    assert [row[0] for row in reader.take(4)] == [4, 5, 6, 7]
    assert reader.next_fetch_offset == 8
    assert [row[0] for row in reader.take(2)] == [8, 9]
    assert reader.next_fetch_offset == 10
    assert [row[0] for row in reader.take(100)] == [15]
    assert reader.next_fetch_offset == 16
    assert reader.take(100) == []
    assert not reader


def test_batch_with_a_wrong_checksum_is_fetched_again_and_then_skipped():
    damaged = build([(0, None, b"damaged", []), (0, None, b"too", [])], first_offset=3)
    damaged[-3] ^= 1
    data = bytes(build([(0, None, b"a", [])], first_offset=2) + damaged + build([(0, None, b"b", [])], first_offset=5))
    quarantine = Quarantine()

    first = part(data, quarantine, offset=2)
    assert first.take(10) == [(2, 0, None, b"a")]
    assert (first.next_fetch_offset, quarantine.ranges) == (3, [])
    again = part(data, quarantine, offset=3)
    assert again.take(10) == [(5, 0, None, b"b")]
    assert quarantine.ranges == [SkippedRange("t", 3, 3, 4, "bad_checksum")]


def test_g10_batches_with_a_sound_second_fetch_leave_no_memory():
    quarantine = Quarantine()

    assert all(quarantine.deserves_retry(("t", 3), offset) for offset in range(1_000))
    assert len(quarantine.suspects) == 1
    assert not quarantine.deserves_retry(("t", 3), 999)


def test_record_without_a_time_has_none():
    rows = part(bytes(build([(-1, b"k", b"v", []), (1_700_000_000_000, None, b"v", [])]))).take(10)
    times = raw_batch(TopicPartition("t", 3), rows).record_times

    assert np.isnan(times[0])
    assert times[1] == 1_700_000_000.0


def test_leader_epoch_is_that_of_the_last_batch_or_of_the_position():
    batch = build([(0, None, b"value", [])])
    batch[12:16] = (5).to_bytes(4, "big")  # the broker's doing, too
    found, nothing = (part(bytes(fetched), epoch_at=lambda _: 3) for fetched in (batch, b""))

    assert (len(found.take(10)), found.leader_epoch) == (1, 5)
    assert (len(nothing.take(10)), nothing.leader_epoch) == (0, 3)


def test_unreadable_last_batch_moves_the_position():
    batch = build([(0, None, b"a", [])], ZSTD, first_offset=9)
    batch[61:65] = b"\x00\x00\x00\x00"
    quarantine = Quarantine()
    reader = part(bytes(batch), quarantine, offset=9, check_crcs=False)

    assert reader.take(10) == []
    assert reader.next_fetch_offset == 10
    assert quarantine.ranges == [SkippedRange("t", 3, 9, 9, "unreadable_batch")]


def test_aborted_transactions_are_skipped_with_read_committed():
    kept: list[Any] = [(0, None, b"kept", [])]
    aborted: list[Any] = [(0, None, b"aborted", [])]
    data = bytes(
        build(kept, producer=1, transactional=True)
        + build(aborted, first_offset=1, producer=2, transactional=True)
        + build(kept, first_offset=2, producer=1, transactional=True)
    )
    transactions = [SimpleNamespace(producer_id=2, first_offset=1)]

    committed = part(data, isolation_level=1, aborted_transactions=transactions).take(10)
    everything = part(data, isolation_level=0, aborted_transactions=transactions).take(10)

    assert [row[0] for row in committed] == [0, 2]
    assert [row[0] for row in everything] == [0, 1, 2]


@pytest.mark.parametrize(
    ("module", "package"), [("cramjam", "cramjam"), ("lz4.frame", "lz4"), ("zstandard", "zstandard")]
)
def test_missing_codec_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, module: str, package: str) -> None:
    require_codecs()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CodecMissing, match=f"install the packages {package}$"):
        KafkaSource(Kafka(bootstrap_servers=["127.0.0.1:1"]), Section())


def test_g5_nothing_behind_a_batch_with_a_missing_codec_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    compressed, plain = build([(0, None, bytes(500), [])], ZSTD), build([(0, None, b"b", [])], first_offset=1)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    reader = part(bytes(compressed + plain))
    for _ in range(2):
        with pytest.raises(CodecMissing, match="t/3 from offset 0 on"):
            reader.take(10)


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("offsets", [(0, 50, 2), (0, 0, 2), (0, -1, 2), (0, 1 << 40, 2)])
def test_g5_batch_whose_offsets_do_not_rise_is_skipped(offsets: tuple[int, ...], codec: int) -> None:
    """Brokers check only the last offset. A position after one of the others would skip or repeat records."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset in offsets:
        assert builder.append(offset, timestamp=1_000, key=None, value=b"x", headers=[])
    quarantine = Quarantine()
    reader = part(bytes(builder.build()), quarantine)
    assert reader.take(2) == []
    assert quarantine.ranges == [SkippedRange("t", 3, 0, 2, "unreadable_batch")]
    assert reader.next_fetch_offset == 3
