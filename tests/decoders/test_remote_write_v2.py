"""Remote write 2.0: a table of texts, references to it, types of metrics, refusals; and both versions on one topic.

The requests are written after the specification and its types.proto; Prometheus' own of version 1.0 are rewritten.
"""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterable
from typing import Any

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.decoders import RemoteWriteDecoder
from detector.decoders.identity import Kinds
from detector.decoders.protobuf import fields
from detector.records import Kind
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import raw, readable
from tests.decoders.encode import number, part, varint
from tests.decoders.test_remote_write import GOOD as GOOD_OF_1
from tests.decoders.test_remote_write import NOW, STALE, names, sample, snappy
from tests.wire.records import batch, records

TYPES = ["UNSPECIFIED", "COUNTER", "GAUGE", "HISTOGRAM", "GAUGEHISTOGRAM", "SUMMARY", "INFO", "STATESET"]
CPU = {"__name__": "cpu", "host": "a"}


class Request:
    """A request while it is being written."""

    def __init__(self) -> None:
        self.table = {"": 0}
        self.written: list[bytes] = []

    def reference(self, text: str) -> bytes:
        return number(self.table.setdefault(text, len(self.table)))

    def references(self, labels: Iterable[tuple[str, str]]) -> bytes:
        return part(1, b"".join(self.reference(text) for pair in labels for text in pair))

    def metadata(self, type_: str) -> bytes:
        """As Prometheus writes it, with a help text and without a unit."""
        return part(5, varint(1, TYPES.index(type_)) + b"\x18" + self.reference("What it is."))

    def add(self, *parts: bytes, labels: dict[str, str]) -> Request:
        self.written.append(part(5, self.references(labels.items()) + b"".join(parts)))
        return self

    def message(self) -> bytes:
        return b"".join(part(4, text.encode()) for text in self.table) + b"".join(self.written)


def one(*parts: bytes, labels: dict[str, str] | None = None) -> bytes:
    """A request of one series."""
    return Request().add(*parts, labels=CPU if labels is None else labels).message()


def with_table(*symbols: bytes, refers: bytes = b"\x01\x02") -> bytes:
    return snappy(b"".join(part(4, text) for text in symbols) + part(5, part(1, refers) + sample(1.5)))


GOOD = snappy(one(sample(1.5)))
READ = ('cpu{host="a"}', NOW / 1e3, 1.5, "SCORED")
POISON: list[tuple[bytes, str, str]] = [
    (snappy(one(sample(1.5)) + part(1, b"")), "version", "has fields of remote write 1.0 and of 2.0"),
    (snappy(one(sample(1.5)) + part(3, b"")), "version", ""),
    (snappy(part(1, b"") + part(4, b"")), "version", ""),
    (with_table(), "symbols", "no symbols"),
    (with_table(b"cpu", b"__name__"), "symbols", "the first of 2 symbols is not empty"),
    (with_table(b"", b"__name__"), "symbols", "series 1 of 1: label reference 2, of 2 symbols"),
    (with_table(b"", b"__name__", refers=b"\x01\xff\x7f"), "symbols", "label reference 16383, of 2 symbols"),
    (with_table(b"", b"__name__", refers=b"\x01" + b"\xff" * 9 + b"\x01"), "symbols", "reference 18446744073709551615"),
    (with_table(b"", b"__name__", b"cpu", refers=b"\x01\x02\x01"), "symbols", "an odd number of label references, 3"),
    (snappy(Request().add(sample(1.5), labels=CPU).message() + part(5, b"\x0a\x02\x01\x05" + sample(2.5))),
     "symbols", "series 2 of 2: label reference 5, of 5 symbols"),
    (with_table(b"", b"__name__", b"\xff"), "encoding", "series 1 of 1: byte 0 of a label is not UTF-8"),
    (snappy(one(sample(1.5), labels={})), "identity", "series 1 of 1: neither a name nor a label"),
    (snappy(one(sample(1.5), labels={"host": "a" * 20_000})), "labels", "20004 characters"),
    (with_table(b"", b"a", b"b", refers=b"\x01\x02\x01\x02"), "labels", "two labels with the same name"),
    (with_table(b"", b"__name__", refers=b"\x01\xff"), "syntax", "unterminated varint"),
    (with_table(b"", b"__name__", refers=b"\x01" + b"\xff" * 10 + b"\x01"), "syntax", "unterminated varint"),
    (snappy(one(part(2, b"\x09abc"))), "syntax", ""),
    (snappy(one(sample(1.5), part(5, b"\xff"))), "syntax", ""),
    (snappy(one(sample(1.5)) + b"\x2a\x05"), "syntax", ""),
    (snappy(one()), "no_numbers", ""),
    (snappy(one(part(3, b"\x08\x01"))), "no_numbers", ""),
    (snappy(Request().message()), "no_numbers", ""),
]  # fmt: skip
"""(record, reason, some of what is said)"""


def decoded(*messages: bytes, kinds: Kinds | None = None) -> list[Any]:
    """(series, time, value, outcome, kind)"""
    index = SeriesIndex()
    samples = RemoteWriteDecoder(kinds or Kinds()).decode(raw(*map(snappy, messages)), index)
    assert not samples.rejects, samples.rejects
    kept = zip(readable(samples, index), samples.kinds, strict=True)
    return [(*line[:4], Kind(kind).name) for line, kind in kept]


def test_samples_of_one_series() -> None:
    assert decoded(one(sample(1.5)), one(sample(0.0)), one(sample(2.5, -1))) == [
        (*READ, "GAUGE"),
        (*READ[:2], 0.0, "SCORED", "GAUGE"),
        (READ[0], -0.001, 2.5, "BAD_TIMESTAMP", "GAUGE"),
    ]
    assert [line[1:3] for line in decoded(one(sample(1.5), sample(2.5, NOW + 1)))] == [
        (NOW / 1e3, 1.5),
        ((NOW + 1) / 1e3, 2.5),
    ]


def test_stale_marker_is_a_gap_and_other_nan_is_discarded() -> None:
    found = decoded(one(sample(STALE)), one(sample(float("nan"))))
    assert [line[2:4] for line in found] == [(None, "GAP"), (None, "NOT_FINITE")]


def test_unknown_fields_are_skipped() -> None:
    histogram, exemplar, created = part(3, b"\x08\x05"), part(4, part(1, b"\x63\x64")), varint(6, NOW)
    odd = histogram + exemplar + created + b"\x48\x07" + b"\x55\x00\x00\x00\x00"
    message = one(odd, sample(1.5), odd) + part(9, b"more") + varint(5, 7)
    assert decoded(message) == decoded(one(sample(1.5), created)) == [(*READ, "GAUGE")]
    started = part(2, b"\x09" + struct.pack("<d", 1.5) + varint(2, NOW) + varint(3, NOW - 60_000))
    assert decoded(one(started)) == [(*READ, "GAUGE")]


def test_metadata_references_may_be_invalid() -> None:
    """Help and unit are not read."""
    assert decoded(one(sample(1.5), part(5, varint(1, 2) + varint(3, 900) + varint(4, 901)))) == [(*READ, "GAUGE")]


@pytest.mark.parametrize(
    ("name", "type_", "kind"),
    [
        ("requests", "UNSPECIFIED", "GAUGE"),
        ("requests_total", "UNSPECIFIED", "COUNTER"),
        ("requests", "COUNTER", "COUNTER"),
        ("queue_count", "GAUGE", "GAUGE"),
        ("build_info_total", "INFO", "GAUGE"),
        ("state_count", "STATESET", "GAUGE"),
        ("size_count", "GAUGEHISTOGRAM", "GAUGE"),
        ("seconds_bucket", "HISTOGRAM", "COUNTER"),
        ("seconds", "SUMMARY", "GAUGE"),
        ("seconds_sum", "SUMMARY", "COUNTER"),
        ("listed", "COUNTER", "GAUGE"),
        ("named", "GAUGE", "COUNTER"),
    ],
)
def test_counters_follow_from_configuration_then_metadata_then_name(name: str, type_: str, kind: str) -> None:
    kinds = Kinds(counters=["named"], gauges=["listed"])
    request = Request()
    request.add(sample(1.5), request.metadata(type_), labels={"__name__": name})
    request.add(request.metadata(type_), sample(1.5), labels={"__name__": name})
    assert [line[4] for line in decoded(request.message(), kinds=kinds)] == [kind] * 2


def test_metric_type_applies_to_its_series_only() -> None:
    request = Request()
    for type_ in ("COUNTER", "GAUGE", "COUNTER"):
        request.add(sample(1.5), request.metadata(type_), labels=CPU)
    assert [line[4] for line in decoded(request.message())] == ["COUNTER", "GAUGE", "COUNTER"]


def test_series_does_not_depend_on_the_order_of_symbols() -> None:
    index, decoder = SeriesIndex(), RemoteWriteDecoder(Kinds())
    others = Request().add(sample(0.5), labels={f"x{n}": f"y{n}" for n in range(200)})
    others.add(sample(1.5), labels=CPU)
    request = Request().add(sample(1.5), labels=CPU)
    table = request.message()[: -len(request.written[0])]
    table_behind = request.written[0] + table
    one_by_one = table + part(5, b"".join(varint(1, each) for each in (1, 2, 3, 4)) + sample(1.5))
    messages = [request.message(), others.message(), table_behind, one_by_one]
    samples = decoder.decode(raw(*map(snappy, messages)), index)
    assert not samples.rejects
    kept = [str(index.key(handle)) for handle, value in zip(samples.series, samples.values, strict=True) if value > 1]
    assert kept == ['cpu{host="a"}'] * 4


def test_labels_whose_texts_join_to_the_same_are_kept_apart() -> None:
    pairs = [{"a": "bc"}, {"ab": "c"}, {"a": "b", "c": "d"}, {"abc": "d"}]
    request = Request()
    for labels in pairs * 2:
        request.add(sample(1.5), labels=labels)
    assert [line[0] for line in decoded(request.message())] == [str(SeriesKey.of("", labels)) for labels in pairs * 2]


def test_both_versions_can_be_on_one_topic() -> None:
    index = SeriesIndex()
    samples = RemoteWriteDecoder(Kinds()).decode(raw(GOOD_OF_1, GOOD, GOOD_OF_1, GOOD), index)
    assert [line[:4] for line in readable(samples, index)] == [READ] * 4
    assert len(index) == 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(names, names, min_size=1, max_size=4),
            st.lists(st.tuples(st.floats(), st.integers(0, 2 * NOW)), min_size=1, max_size=3),
            st.sampled_from(TYPES),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(names, max_size=200),
)
def test_any_series_round_trip(
    written: list[tuple[dict[str, str], list[tuple[float, int]], str]], before: list[str]
) -> None:
    index, decoder = SeriesIndex(), RemoteWriteDecoder(Kinds())
    for table in ([], before):
        request = Request()
        for text in table:
            request.reference(text)
        for labels, samples, type_ in written:
            request.add(*(sample(*each) for each in samples), request.metadata(type_), labels=labels)
        found = decoder.decode(raw(snappy(request.message())), index)
        expected = [(SeriesKey.of("", labels), *each) for labels, samples, _ in written for each in samples]
        assert [index.key(handle) for handle in found.series.tolist()] == [key for key, _, _ in expected]
        assert found.times.tolist() == [milliseconds / 1e3 for *_, milliseconds in expected]
        assert repr(found.values.tolist()) == repr([value or 0.0 for _, value, _ in expected])


def test_prometheus_records_decode_the_same_in_both_versions() -> None:
    found = records("prometheus-remote-write-v1")
    of_1, of_2 = SeriesIndex(), SeriesIndex()
    first = RemoteWriteDecoder(Kinds()).decode(batch(found), of_1)
    second = RemoteWriteDecoder(Kinds()).decode(raw(*(rewritten(record.value) for record in found)), of_2)
    assert len(first) == len(second) == 238
    for index, samples in ((of_1, first), (of_2, second)):
        assert samples.rejects == ()
        assert [index.key(handle) for handle in samples.series.tolist()] == [
            of_1.key(handle) for handle in first.series.tolist()
        ]
    assert (first.times == second.times).all()
    assert first.values.tobytes() == second.values.tobytes()
    assert (first.outcomes == second.outcomes).all()
    assert (first.kinds == second.kinds).all()


def rewritten(record: bytes) -> bytes:
    """A request of version 1.0 in version 2.0; its metadata, which has no place of its own there, left out."""
    request = Request()
    for field, _, message in fields(bytes(cramjam.snappy.decompress_raw(record))):
        if field == 1 and isinstance(message, bytes):
            parts = [(each, value) for each, _, value in fields(message) if isinstance(value, bytes)]
            labels = [{inner: text for inner, _, text in fields(value)} for each, value in parts if each == 1]
            texts = {label[1].decode(): label[2].decode() for label in labels}  # type: ignore[union-attr]
            request.add(*(part(2, value) for each, value in parts if each == 2), labels=texts)
    return snappy(request.message())


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    index = SeriesIndex()
    values = [value for record, *_ in POISON for value in (record, GOOD)]
    samples = RemoteWriteDecoder(Kinds()).decode(raw(*values), index)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason, _ in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, *_ in POISON]
    for reject, (_, _, detail) in zip(samples.rejects, POISON, strict=True):
        assert detail in reject.detail
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))


@pytest.mark.parametrize(("size", "references"), [(1 << 16, 100), (1 << 23, 1 << 15)])
def test_g6_references_to_a_long_text_take_bounded_memory(size: int, references: int) -> None:
    """395,052 bytes could ask for 256 GiB."""
    table = part(4, b"") + part(4, size * b"x")
    record = snappy(table + part(5, part(1, references * b"\x01") + sample(1.0)))
    (reject,) = RemoteWriteDecoder(Kinds()).decode(raw(record), SeriesIndex()).rejects
    assert (reject.reason, reject.detail) == (
        "labels",
        f"series 1 of 1: {size * references} bytes of labels, more than 16384 characters",
    )


@pytest.mark.parametrize("references", [bytes(40_000), b"\x80\x00" * 40_000, bytes(10_000_000)])
def test_g6_references_to_the_empty_text_take_bounded_memory(references: bytes) -> None:
    """750 KB of them took a gigabyte."""
    record = snappy(part(4, b"") + part(5, part(1, references) + sample(1.0)))
    tracemalloc.start()
    try:
        (reject,) = RemoteWriteDecoder(Kinds()).decode(raw(record), SeriesIndex()).rejects
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (reject.reason, reject.detail) == ("labels", "series 1 of 1: more than 32768 label references")
    assert most_bytes < 5 * len(references) + (1 << 20)
