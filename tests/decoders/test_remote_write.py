"""Remote write 1.0: samples, gaps, refusals. What Prometheus' real records mean is in test_wire.py."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.decoders import RemoteWriteDecoder
from detector.decoders.columns import MOST_SAMPLES
from detector.decoders.identity import Kinds
from detector.decoders.protobuf import fields
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import raw, readable
from tests.decoders.encode import number, part, varint

STALE = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
NOW = 1_700_000_000_000


def label(name: str, value: str) -> bytes:
    return part(1, part(1, name.encode()) + part(2, value.encode()))


def sample(value: float, milliseconds: int = NOW) -> bytes:
    written = b"\x09" + struct.pack("<d", value) if value else b""
    return part(2, written + b"\x10" + number(milliseconds))


def series(*parts: bytes, labels: dict[str, str] | None = None) -> bytes:
    named = {"__name__": "cpu", "host": "a"} if labels is None else labels
    return part(1, b"".join(label(*pair) for pair in named.items()) + b"".join(parts))


def snappy(message: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message))


GOOD = snappy(series(sample(1.5)))
READ = ('cpu{host="a"}', NOW / 1e3, 1.5, "SCORED")
POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (number(1 << 30) + b"x", "oversize"),
    (b"", "compression"),
    (b"\xff" * 20, "compression"),
    (b"hello", "compression"),
    (GOOD[:-1], "compression"),
    (b'{"name":"cpu","value":1}', "compression"),
    (snappy(b"\x0a"), "syntax"),
    (snappy(b"\x0a\x05abc"), "syntax"),
    (snappy(b"\x0b"), "syntax"),
    (snappy(b"\x09abc"), "syntax"),
    (snappy(b"\xff" * 11), "syntax"),
    (snappy(part(1, b"\x0a\x7f")), "syntax"),
    (snappy(series(part(2, b"\x09abc"))), "syntax"),
    (snappy(series(sample(1.5)) + b"\x0a\x05"), "syntax"),
    (snappy(part(1, part(1, part(1, b"\xff") + part(2, b"a")) + sample(1.5))), "encoding"),
    (snappy(series(sample(1.5), labels={})), "identity"),
    (snappy(series(sample(1.5), labels={"host": "a" * 20_000})), "labels"),
    (snappy(b""), "no_numbers"),
    (snappy(part(3, b"")), "no_numbers"),
    (snappy(series()), "no_numbers"),
]


def decoded(*messages: bytes) -> list[Any]:
    index = SeriesIndex()
    samples = RemoteWriteDecoder(Kinds()).decode(raw(*map(snappy, messages)), index)
    assert not samples.rejects, samples.rejects
    return [line[:4] for line in readable(samples, index)]


def test_samples_of_one_series() -> None:
    assert decoded(series(sample(1.5))) == [READ]
    assert decoded(series(sample(1.5)), series(sample(0.0)), series(sample(2.5, -1))) == [
        READ,
        (*READ[:2], 0.0, "SCORED"),
        (READ[0], -0.001, 2.5, "BAD_TIMESTAMP"),
    ]
    assert decoded(series(sample(1.5), sample(2.5, NOW + 1))) == [READ, (READ[0], (NOW + 1) / 1e3, 2.5, "SCORED")]


def test_stale_marker_is_a_gap_and_other_nan_is_discarded() -> None:
    assert [line[2:] for line in decoded(series(sample(STALE)), series(sample(float("nan"))))] == [
        (None, "GAP"),
        (None, "NOT_FINITE"),
    ]


def test_unknown_fields_are_skipped() -> None:
    odd = part(3, b"exemplar") + part(4, b"histogram") + b"\x40\x07" + b"\x4d\x00\x00\x00\x00"
    assert decoded(part(3, b"metadata") + series(odd, sample(1.5), odd)) == [READ]


def test_label_with_the_bytes_of_a_sample_is_a_label() -> None:
    # The last 18 bytes of these series begin as a sample does; they are the end of a label, and differ.
    tails = ["\x12\x10" + letter * 16 for letter in "ab"]
    found = decoded(*(part(1, label("__name__", "cpu") + sample(1.5) + label("x", tail)) for tail in tails * 2))
    assert [line[0] for line in found] == [str(SeriesKey.of("cpu", {"x": tail})) for tail in tails * 2]


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(names, names, min_size=1, max_size=4),
            st.lists(st.tuples(st.floats(), st.integers(0, 2 * NOW)), min_size=1, max_size=3),
        ),
        max_size=5,
    )
)
def test_any_series_round_trip(written: list[tuple[dict[str, str], list[tuple[float, int]]]]) -> None:
    message = b"".join(series(*(sample(*one) for one in samples), labels=labels) for labels, samples in written)
    index, decoder = SeriesIndex(), RemoteWriteDecoder(Kinds())
    for _ in range(2):
        samples = decoder.decode(raw(snappy(message)), index)
        expected = [(SeriesKey.of("", labels), *one) for labels, found in written for one in found]
        keys = [index.key(handle) for handle in samples.series.tolist()]
        assert keys == [key for key, _, _ in expected]
        assert samples.times.tolist() == [milliseconds / 1e3 for *_, milliseconds in expected]
        assert repr(samples.values.tolist()) == repr([value or 0.0 for _, value, _ in expected])


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    index = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = RemoteWriteDecoder(Kinds()).decode(raw(*values), index)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))


@given(st.binary(max_size=40))
def test_arbitrary_bytes_give_fields_or_a_value_error(message: bytes) -> None:
    size = 0
    with suppress(ValueError):
        for *_, value in fields(message):
            size += len(value) if isinstance(value, bytes) else 1
    assert size <= len(message)


@pytest.mark.parametrize("end", [0, 1, 9])
def test_endless_varint_is_an_error(end: int) -> None:
    with pytest.raises(ValueError, match="unterminated varint"):
        list(fields(b"\x08" + b"\xff" * end))


def test_record_that_claims_more_than_snappy_can_hold_takes_no_memory() -> None:
    claimed = number(1 << 24) + b"x"
    best = snappy(series(sample(1.5), part(3, bytes(1 << 20))))
    samples = RemoteWriteDecoder(Kinds()).decode(raw(claimed, best), SeriesIndex())
    assert [reject.detail for reject in samples.rejects] == ["5 bytes cannot be 16777216 when decompressed"]
    assert len(best) < (1 << 20) / 20
    assert samples.values.tolist() == [1.5]


def test_g6_number_of_samples_is_bounded_by_the_bytes_of_a_record() -> None:
    empty = snappy(series(part(2, b"") * 50_000))
    assert len(empty) < 5_000
    samples = RemoteWriteDecoder(Kinds()).decode(raw(empty, GOOD), SeriesIndex())
    assert [(reject.offset, reject.detail) for reject in samples.rejects] == [
        (1, f"more than {4_096 + len(empty)} samples")
    ]
    assert samples.values.tolist() == [1.5]


def test_the_densest_real_request_is_read() -> None:
    steps = b"".join(sample(0.0, NOW + step) for step in range(MOST_SAMPLES))
    assert len(decoded(series(steps))) == MOST_SAMPLES


def test_series_of_many_labels_that_compress_best_are_read() -> None:
    labels = {f"kubernetes_label_{number}": "a" for number in range(30)}
    written = b"".join(series(sample(0.0), labels=labels | {"pod": f"{number:05}"}) for number in range(3_000))
    assert len(snappy(written)) < len(written) / 15
    assert len(decoded(written)) == 3_000


MANY = 300_000


@pytest.mark.parametrize(
    "message",
    [
        part(1, b"") * MANY,
        part(2, b"") * MANY,
        varint(3, 0) * MANY,
        part(4, b"") * MANY,
        part(4, b"") + part(5, b"") * MANY,
        part(1, part(3, b"") * MANY),
        part(1, part(1, part(3, b"") * MANY) + part(2, b"")),
        series(part(2, part(3, b"") * MANY)),
        part(4, b"") + part(5, part(3, b"") * MANY),
        part(4, b"") + part(5, varint(1, 0) * MANY + part(2, b"")),
        part(4, b"") + part(4, b"a") + part(5, part(1, b"\x01\x01") + part(2, part(3, b"") * MANY)),
        part(4, b"") + part(4, b"a") + part(5, part(1, b"\x01\x01") + part(5, varint(1, 0) * MANY) + part(2, b"")),
    ],
)
def test_g6_number_of_fields_is_bounded_by_the_bytes_of_a_record(message: bytes) -> None:
    record = snappy(message)
    assert len(record) < MANY / 8
    samples = RemoteWriteDecoder(Kinds()).decode(raw(record, GOOD), SeriesIndex())
    assert [(reject.offset, reject.reason) for reject in samples.rejects] == [(1, "oversize")]
    assert samples.values.tolist() == [1.5]
