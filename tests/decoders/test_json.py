"""JSON records: shapes, spellings of times and values, identity, refusals."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config.decoder import JsonDecoder as Settings
from detector.decoders import JsonDecoder
from detector.records import Kind
from detector.series import SeriesIndex
from tests.decoders.batches import RECORD_TIME, packed, raw, readable
from tests.decoders.poison import GOOD, POISON

SAMPLE = {"name": "cpu", "labels": {"host": "a"}, "timestamp": 1_700_000_000, "value": 1.5}
READ = ('cpu{host="a"}', 1_700_000_000.0, 1.5, "SCORED", 1)


def decoded(*values: bytes | None, settings: dict[str, Any] | None = None, **batch: Any) -> list[Any]:
    series = SeriesIndex()
    samples = JsonDecoder(Settings.model_validate(settings or {})).decode(raw(*values, **batch), series)
    assert not samples.rejects, samples.rejects
    return readable(samples, series)


@pytest.mark.parametrize(
    "record",
    [
        packed(SAMPLE),
        packed(SAMPLE) + b"\n",
        b"\xef\xbb\xbf" + packed(SAMPLE),
        packed([SAMPLE]),
        b"\x00\x00\x00\x00\x07" + packed(SAMPLE),
        b"\x00\x00\x00\x00\x07" + packed([SAMPLE]),
        packed({**SAMPLE, "more": {"deep": [1, 2]}}),
        packed(dict(reversed(SAMPLE.items()))),
        b'{\n  "name": "cpu",\n  "labels": {"host": "a"},\n  "timestamp": 1700000000, "value": 1.5\n}',
        packed({**SAMPLE, "name": None, "stream": "cpu"}),
        packed({"stream": "cpu", "labels": {"host": "a", "core": None, "zone": ""}, "timestamp": 1.7e9, "value": 1.5}),
        packed({"labels": {"__name__": "cpu", "host": "a"}, "timestamp": 1.7e9, "value": 1.5}),
        b'{"name":"c\\u0070u","labels":{"host":"a"},"timestamp":17e8,"value":15e-1}',
        b'{"value":2,"name":"cpu","labels":{"host":"b"},"labels":{"host":"a"},"timestamp":1700000000,"value":1.5}',
    ],
)
def test_spellings_of_one_sample(record: bytes) -> None:
    assert decoded(record) == [READ]
    assert decoded(record, record, packed(SAMPLE)) == [READ, (*READ[:4], 2), (*READ[:4], 3)]


def test_arrays_and_lines_hold_many_samples() -> None:
    other = {"stream": "mem", "timestamp": "2023-11-14T22:13:21Z", "value": 7}
    expected = [READ, ("mem", 1_700_000_001.0, 7.0, "SCORED", 1), (READ[0], READ[1], READ[2], READ[3], 2)]
    assert decoded(packed([SAMPLE, other]), packed(SAMPLE)) == expected
    assert decoded(packed(SAMPLE) + b"\r\n\n" + packed(other) + b"\n", packed(SAMPLE)) == expected


@pytest.mark.parametrize(
    "stamp",
    [
        1_700_000_000.25,
        1_700_000_000_250,
        1_700_000_000_250_000,
        1_700_000_000_250_000_000,
        "1700000000.25",
        "1700000000250",
        "2023-11-14T22:13:20.25Z",
        "2023-11-14t22:13:20.250z",
        "2023-11-14 22:13:20.250000",
        "2023-11-14T22:13:20.250000999Z",
        "2023-11-15T00:13:20.25+02:00",
        "2023-11-14T16:43:20.25-05:30",
    ],
)
def test_spellings_of_one_time(stamp: float | str) -> None:
    [(_, time, *_)] = decoded(packed({**SAMPLE, "timestamp": stamp}))
    assert time == pytest.approx(1_700_000_000.25, abs=1e-6)


def test_leap_second_is_read_as_the_next_second() -> None:
    [(_, time, *_)] = decoded(packed({**SAMPLE, "timestamp": "2016-12-31T23:59:60Z"}))
    assert time == 1_483_228_800.0


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1_000), ("us", 10**6), ("ns", 10**9)])
def test_configured_unit_overrides_the_magnitude(unit: str, factor: int) -> None:
    small = packed({**SAMPLE, "timestamp": 50 * factor})
    text = packed({**SAMPLE, "timestamp": "1970-01-01T00:00:50Z"})
    assert [time for _, time, *_ in decoded(small, text, settings={"timestamp_unit": unit})] == [50.0, 50.0]


def test_sample_without_a_timestamp_gets_the_record_time() -> None:
    without = {"name": "cpu", "value": 1}
    assert [time for _, time, *_ in decoded(packed(without), packed({**without, "timestamp": None}))] == [
        RECORD_TIME,
        RECORD_TIME,
    ]
    [(_, _, _, outcome, _)] = decoded(packed(without), record_time=float("nan"))
    assert outcome == "BAD_TIMESTAMP"


@pytest.mark.parametrize("stamp", [-1, 1e30, 10**400, -(10**400), "9000-01-01T00:00:00Z", "1900-01-01T00:00:00Z", "-5"])
def test_absurd_times_are_discarded(stamp: float | str) -> None:
    [(*_, outcome, _)] = decoded(packed({**SAMPLE, "timestamp": stamp}))
    assert outcome == "BAD_TIMESTAMP"


@pytest.mark.parametrize(
    ("written", "value", "outcome"),
    [
        (b"1", 1.0, "SCORED"),
        (b"-0.5e-3", -0.0005, "SCORED"),
        (b'"12.5"', 12.5, "SCORED"),
        (b'" 7 "', 7.0, "SCORED"),
        (b"true", 1.0, "SCORED"),
        (b"false", 0.0, "SCORED"),
        (b"1e30", 1e30, "SCORED"),
        (b"123456789012345678901234567890", 1.2345678901234568e29, "SCORED"),
        (b"null", None, "GAP"),
        (b"NaN", None, "NOT_FINITE"),
        (b'"NaN"', None, "NOT_FINITE"),
        (b'"+Inf"', float("inf"), "NOT_FINITE"),
        (b"-Infinity", float("-inf"), "NOT_FINITE"),
        (b"1e400", float("inf"), "NOT_FINITE"),
        (b"9" * 400, float("inf"), "NOT_FINITE"),
        (b"-" + b"9" * 400, float("-inf"), "NOT_FINITE"),
        (b"9" * 5_000, float("inf"), "NOT_FINITE"),
        (b"1.0000001e30", 1.0000001e30, "OUT_OF_RANGE"),
        (b'"-1e31"', -1e31, "OUT_OF_RANGE"),
        (b"9" * 40, 1e40, "OUT_OF_RANGE"),
    ],
)
def test_values(written: bytes, value: float | None, outcome: str) -> None:
    record = b'{"name":"cpu","timestamp":1700000000,"value":%s}' % written
    for form in (record, b"[%s]" % record, record + b"\n\n" + record):
        [*_, (_, _, found, became, _)] = decoded(form)
        assert (found, became) == (value, outcome)


def test_spellings_of_one_label_set_are_one_series() -> None:
    spellings = [
        b'{"a":"1","b":"true"}',
        b'{"b":true,"a":1}',
        b'{ "a" : 1.0 , "b" : true }',
        b'{"a":"1","b":"true","c":null,"d":""}',
    ]
    series = SeriesIndex()
    records = [b'{"name":"cpu","labels":%s,"value":1}' % labels for labels in spellings]
    samples = JsonDecoder(Settings()).decode(raw(*records, b"[" + b",".join(records) + b"]"), series)
    assert len(set(samples.series.tolist())) == len(series) == 1
    other = JsonDecoder(Settings()).decode(raw(b'{"name":"cpu","labels":{"a":true,"b":1},"value":1}'), series)
    assert other.series[0] not in samples.series


def test_counters_are_recognised_by_suffix() -> None:
    series = SeriesIndex()
    records = [packed({"name": name, "value": 1}) for name in ("requests_total", "queue_length", "latency_count")]
    samples = JsonDecoder(Settings()).decode(raw(*records), series)
    assert samples.kinds.tolist() == [Kind.COUNTER, Kind.GAUGE, Kind.COUNTER]


def test_fields_can_be_configured() -> None:
    record = packed({"m": {"id": "cpu", "tags": {"host": "a"}}, "at": 1_700_000_000, "v": {"x": "1.5"}, "value": 9})
    nested = {"fields": {"name": "m.id", "labels": "m.tags", "timestamp": "at", "value": "v.x"}}
    assert decoded(record, settings=nested) == [READ]
    renamed = {"fields": {"name": "metric", "labels": "tags", "timestamp": "ts", "value": "v"}}
    flat = packed({"metric": "cpu", "tags": {"host": "a"}, "ts": 1_700_000_000, "v": 1.5})
    assert decoded(
        flat, packed([{"metric": "cpu", "tags": {"host": "a"}, "ts": "1700000000", "v": True}]), settings=renamed
    ) == [
        READ,
        (READ[0], READ[1], 1.0, "SCORED", 2),
    ]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = JsonDecoder(Settings()).decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert [reject.offset for reject in samples.rejects] == list(range(1, len(values), 2))
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))
    assert all(len(reject.detail) <= 200 and reject.key == b"key" for reject in samples.rejects)
    assert len(series) == 1, "a refused record leaves no series behind"


@pytest.mark.parametrize(("record", "reason"), POISON, ids=[f"{n}-{reason}" for n, (_, reason) in enumerate(POISON)])
def test_poison_alone(record: bytes | None, reason: str) -> None:
    samples = JsonDecoder(Settings()).decode(raw(record), SeriesIndex())
    assert (len(samples), [reject.reason for reject in samples.rejects]) == (0, [reason])


def test_memory_for_new_spellings_is_bounded() -> None:
    series, decoder = SeriesIndex(), JsonDecoder(Settings())
    for first in range(0, 100_000, 10_000):
        records = [b'{"name":"cpu","labels":{"x%d":null},"value":1}' % n for n in range(first, first + 10_000)]
        assert set(decoder.decode(raw(*records), series).series.tolist()) == {0}
    assert len(series) == 1
    assert len(series.by_raw) <= 65_536


@pytest.mark.parametrize(
    "record", [b'{"name":"a","labels":{%s},"value":1}', b'{"name":"a","timestamp":"%s1.5","value":1}']
)
def test_g10_memory_for_long_spellings_is_bounded(record: bytes) -> None:
    series, decoder = SeriesIndex(), JsonDecoder(Settings())
    tracemalloc.start()
    try:
        for more in range(100):
            samples = decoder.decode(raw(record % (b" " * (1_000_000 + more))), series)
            assert samples.series.tolist() == [0]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 80e6


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("cpu") | json_values,
        "stream": json_values,
        "labels": st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3) | json_values,
        "timestamp": st.floats(0, 2e18) | st.datetimes().map(str) | json_values,
        "value": st.floats() | json_values,
    },
)


@given(st.lists(objects.map(packed) | st.lists(objects, max_size=3).map(packed), max_size=8))
def test_g8_record_decodes_the_same_in_every_batch(records: list[bytes]) -> None:
    together, apart = SeriesIndex(), SeriesIndex()
    decoder = JsonDecoder(Settings())
    samples = decoder.decode(raw(*records, *records), together)
    alone = [decoder.decode(raw(record, first=n), apart) for n, record in enumerate([*records, *records], 1)]
    assert repr(readable(samples, together)) == repr([line for part in alone for line in readable(part, apart)])
    assert list(samples.rejects) == [reject for part in alone for reject in part.rejects]


@given(st.lists(objects, min_size=1, max_size=3))
def test_general_and_fast_path_decode_the_same(found: list[dict[str, Any]]) -> None:
    nested = {"fields": {name: f"in.{name}" for name in ("name", "labels", "stream", "timestamp", "value")}}
    quick, general = SeriesIndex(), SeriesIndex()
    one = JsonDecoder(Settings()).decode(raw(packed(found)), quick)
    other = JsonDecoder(Settings.model_validate(nested)).decode(raw(packed([{"in": each} for each in found])), general)
    assert repr(readable(one, quick)) == repr(readable(other, general))
    assert [reject.reason for reject in one.rejects] == [reject.reason for reject in other.rejects]
