"""Records of the internal topic: samples round-trip, and broken records are rejected."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders.routed import RoutedDecoder, pack, pack_series
from detector.records import Kind, Outcome
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import raw, readable

KEYS = [SeriesKey.of("cpu", {"host": "a"}), SeriesKey.of("", {"größe": "🚀"}), SeriesKey.of("net_total")]


def packed(which: list[int], values: list[float], gaps: tuple[int, ...] = (), keys: list[SeriesKey] = KEYS) -> bytes:
    count = len(which)
    return pack(
        [pack_series(key) for key in keys],
        np.array(which, dtype=np.int64),
        np.arange(1.7e9, 1.7e9 + count),
        np.array(values),
        np.full(count, Kind.COUNTER, dtype=np.uint8),
        np.array(gaps, dtype=np.int64),
        np.arange(1.8e9, 1.8e9 + count),
    )


GOOD = packed([0, 1, 0], [1.5, 2.0, 3.0])


def changed(**fields: Any) -> bytes:
    return msgspec.msgpack.encode({**msgspec.msgpack.decode(GOOD), **fields})


POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"", "syntax"),
    (b"\xff", "syntax"),
    (b'{"name":"cpu","value":1}', "syntax"),
    (GOOD[:-1], "syntax"),
    (GOOD + b"x", "syntax"),
    (changed(times=7), "syntax"),
    (changed(series=7), "syntax"),
    (b"\x91" * 200_000, "syntax"),
    (changed(version=2), "version"),
    (msgspec.msgpack.encode({"version": 3, "columns": {}}), "version"),
    (changed(times=b""), "shape"),
    (changed(values=b"123"), "shape"),
    (changed(kinds=b"\x00\x00\x09"), "shape"),
    (changed(gaps=b"\x03\x00\x00\x00"), "shape"),
    (changed(series=[]), "shape"),
    (changed(which=b"", times=b"", values=b"", kinds=b"", record_times=b""), "empty"),
    (changed(series=[["a"], ["b", "c"]]), "labels"),
    (changed(series=[["a", 7], ["b", "c"]]), "labels"),
    (changed(series=[7, ["b", "c"]]), "labels"),
    (changed(series=[["a" * 20_000, "b"], ["b", "c"]]), "labels"),
    (changed(series=[[], ["b", "c"]]), "identity"),
]


def test_samples_round_trip() -> None:
    series = SeriesIndex()
    record = packed([2, 0, 2, 1], [1.5, float("nan"), float("inf"), 1e31], gaps=(1,))
    samples = RoutedDecoder().decode(raw(record, GOOD), series)
    assert readable(samples, series)[:4] == [
        ("net_total", 1.7e9, 1.5, "SCORED", 1),
        ('cpu{host="a"}', 1.7e9 + 1, None, "GAP", 1),
        ("net_total", 1.7e9 + 2, float("inf"), "NOT_FINITE", 1),
        ('{größe="🚀"}', 1.7e9 + 3, 1e31, "OUT_OF_RANGE", 1),
    ]
    assert samples.offsets.tolist() == [1] * 4 + [2] * 3
    assert samples.record_times.tolist()[:4] == [1.8e9, 1.8e9 + 1, 1.8e9 + 2, 1.8e9 + 3]
    assert set(samples.kinds.tolist()) == {Kind.COUNTER}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats()), min_size=1, max_size=30),
    st.sets(st.integers(0, 29)),
)
def test_any_values_round_trip(samples: list[tuple[int, float]], gaps: set[int]) -> None:
    kept = tuple(sorted(gap for gap in gaps if gap < len(samples)))
    which, values = [one for one, _ in samples], [value for _, value in samples]
    series = SeriesIndex()
    found = RoutedDecoder().decode(raw(packed(which, values, kept)), series)
    assert [series.key(handle) for handle in found.series.tolist()] == [KEYS[one] for one in which]
    np.testing.assert_array_equal(found.values, [np.nan if n in kept else value for n, value in enumerate(values)])
    assert set(np.flatnonzero(found.outcomes == Outcome.GAP).tolist()) == set(kept)


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = RoutedDecoder().decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == [offset for offset in range(2, len(values) + 1, 2) for _ in range(3)]
