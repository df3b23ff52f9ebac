"""The contract of `Decoder`, for every registered one."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Sequence

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.config.decoder import Decoder as Settings
from detector.decoders import DECODERS
from detector.decoders.routed import pack, pack_series
from detector.protocols import Decoder
from detector.records import Kind, Outcome
from detector.series import SeriesIndex, SeriesKey
from tests.decoders import avro_records
from tests.decoders.batches import raw, readable
from tests.decoders.hostile import LINE_PROTOCOL, OTLP, PROTOBUF, SNAPPY, json_records
from tests.decoders.poison import GOOD, POISON

GOODS = {
    "json": GOOD,
    "avro": avro_records.record(),
    "csv": b"1700000000,1",
    "telegraf": b'{"name":"cpu","tags":{"host":"a"},"fields":{"idle":1.5,"state":"on"},"timestamp":1700000000}',
    "influx": b'cpu,host=a idle=1.5,state="on" 1700000000000000000',
    "routed": pack(
        [pack_series(SeriesKey.of("cpu", {"host": "a"}))],
        np.zeros(1, dtype=np.int64),
        np.array([1.7e9]),
        np.array([1.5]),
        np.zeros(1, dtype=np.uint8),
        np.zeros(0, dtype=np.int64),
        np.array([np.nan]),
    ),
    "remote_write": bytes(
        cramjam.snappy.compress_raw(
            bytes.fromhex("0a230a0f0a085f5f6e616d655f5f12036370751210090000000000000040108080b1e6fb31")
        )
    ),
    "otlp": bytes.fromhex(
        "0a490a120a100a09686f73742e6e616d6512030a016112330a020a00122d0a036370751a01312a230a1d11001c"
        "1ee2fb9c97171900002a36fe9c971721000000000000f83f400010001800"
    ),
    "collectd": b'[{"values":[1.5],"dstypes":["gauge"],"dsnames":["value"],"time":1.7e9,"interval":10,"host":"a",'
    b'"plugin":"load","plugin_instance":"","type":"load","type_instance":""}]',
    "vector": b'{"name":"cpu","namespace":"host","tags":{"host":"a"},"timestamp":"2023-11-14T22:13:20.000000001Z",'
    b'"kind":"absolute","gauge":{"value":1.5}}',
    "metricbeat": b'{"@timestamp":"2023-11-14T22:13:20.853Z","host":{"name":"a"},"metricset":{"name":"cpu"},'
    b'"system":{"cpu":{"name":"x","id":7,"ready":true,"total":{"pct":1.5}}},"labels":{"env":"b"}}',
}

RECORDS = st.lists(
    st.none()
    | st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from([GOOD, b"2014-02-14 14:30:00,1", b"17e8,", *(record for record, _ in POISON[:60])])
    | st.sampled_from(sorted(GOODS.values()))
    | st.builds(
        lambda good, at, byte: good[:at] + bytes([byte]) + good[at + 1 :],
        st.sampled_from(sorted(GOODS.values())),
        st.integers(0, 150),
        st.integers(0, 255),
    ),
    max_size=12,
)
OTLP_JSON = (
    b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"host","value":{"stringValue":"a"}}]},"scopeMetrics":'
    b'[{"metrics":[{"name":"m","sum":{"aggregationTemporality":1,"dataPoints":[{"asInt":"7","startTimeUnixNano":"5",'
    b'"timeUnixNano":"17","flags":0}]}},{"name":"s","summary":{"dataPoints":[{"count":"3","sum":1.5,"timeUnixNano":17,'
    b'"quantileValues":[{"quantile":0.5,"value":2}]}]}}]}]}]}'
)
VECTOR = [
    GOODS["vector"],
    b'{"name":"n","tags":{"a":["b",null]},"interval_ms":10000,"kind":"incremental","counter":{"value":1.0}}',
    b'{"name":"n","kind":"absolute","distribution":{"samples":[{"value":1.0,"rate":2}],"statistic":"summary"}}',
    b'{"metric":{"name":"n","kind":"incremental","aggregated_summary":{"quantiles":[{"quantile":1,"value":2}],"count":3,"sum":2}}}',
]
SETTINGS = {"avro": {"type": "avro", "avro": {"schemas": {1: str(avro_records.SCHEMA_FILE)}}}}
NEARLY_RIGHT = {
    "avro": avro_records.NEARLY_RIGHT,
    "json": json_records([GOOD, b"[" + GOOD + b"]", GOOD + b"\n" + GOOD]),
    "telegraf": json_records([GOODS["telegraf"]]),
    "influx": LINE_PROTOCOL,
    "collectd": json_records([GOODS["collectd"]]),
    "otlp": json_records([OTLP_JSON]) | OTLP | PROTOBUF,
    "remote_write": SNAPPY,
    "vector": json_records(VECTOR),
    "metricbeat": json_records([GOODS["metricbeat"]]),
}


@pytest.fixture(params=sorted(DECODERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def decoder(name: str) -> Decoder:
    return DECODERS[name](Settings.model_validate(SETTINGS.get(name, {})))


def reasons(name: str) -> set[str]:
    """The reasons that the module's docstring lists."""
    module = importlib.import_module(f"detector.decoders.{name}")
    listed = (module.__doc__ or "").partition("Reasons of a `Reject`")[2]
    return {first or second for first, second in re.findall(r"^    (\w+) {2,}|`(\w+)`", listed, re.MULTILINE)}


@pytest.mark.parametrize("each", sorted(DECODERS))
@settings(deadline=None)
@given(records=RECORDS)
def test_arbitrary_bytes_raise_nothing_and_every_record_is_accounted_for(
    each: str, records: list[bytes | None]
) -> None:
    each_is_read_or_refused(each, records)


@pytest.mark.parametrize("each", sorted(NEARLY_RIGHT))
@settings(deadline=None)
@given(data=st.data())
def test_g6_nearly_valid_records_are_decoded_or_rejected_with_a_documented_reason(
    each: str, data: st.DataObject
) -> None:
    each_is_read_or_refused(each, data.draw(st.lists(NEARLY_RIGHT[each], min_size=1, max_size=12)))


def each_is_read_or_refused(each: str, records: Sequence[bytes | None]) -> None:
    samples = decoder(each).decode(raw(*records, first=2), SeriesIndex())
    assert set(samples.offsets.tolist()) | {reject.offset for reject in samples.rejects} == set(
        range(2, 2 + len(records))
    ), "every record holds a sample or is refused"
    assert not set(samples.offsets.tolist()) & {reject.offset for reject in samples.rejects}
    assert {reject.reason for reject in samples.rejects} <= reasons(each)
    assert all(len(reject.detail) <= 200 for reject in samples.rejects)


@pytest.mark.parametrize("each", sorted(DECODERS))
@settings(deadline=None)
@given(records=RECORDS)
def test_values_to_be_scored_are_finite(each: str, records: list[bytes | None]) -> None:
    samples = decoder(each).decode(raw(*records), SeriesIndex())
    to_score = samples.outcomes == Outcome.SCORED
    assert np.isfinite(samples.values[to_score]).all()
    assert (np.abs(samples.values[to_score]) <= 1e30).all()
    assert np.isfinite(samples.times[to_score]).all()
    assert (samples.times[to_score] >= 0).all()
    assert set(samples.kinds.tolist()) <= set(Kind)


@pytest.mark.parametrize("each", sorted(DECODERS))
@settings(deadline=None)
@given(records=RECORDS, cuts=st.sets(st.integers(0, 12)))
def test_g8_result_does_not_depend_on_batch_boundaries(each: str, records: list[bytes | None], cuts: set[int]) -> None:
    whole, parts = SeriesIndex(), SeriesIndex()
    samples = decoder(each).decode(raw(*records), whole)
    ends = [0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]
    one = decoder(each)
    pieces = [one.decode(raw(*records[start:end], first=1 + start), parts) for start, end in itertools.pairwise(ends)]
    assert repr(readable(samples, whole)) == repr([line for piece in pieces for line in readable(piece, parts)])
    assert list(samples.rejects) == [reject for piece in pieces for reject in piece.rejects]


def test_columns_have_equal_lengths_and_their_types(name: str) -> None:
    for batch in (raw(), raw(*GOODS.values(), None)):
        samples = decoder(name).decode(batch, SeriesIndex())
        columns = {
            "series": "int64",
            "times": "float64",
            "values": "float64",
            "kinds": "uint8",
            "outcomes": "uint8",
            "offsets": "int64",
            "record_times": "float64",
        }
        for column, dtype in columns.items():
            assert getattr(samples, column).shape == (len(samples),)
            assert getattr(samples, column).dtype == dtype
        assert (samples.topic, samples.partition) == (batch.topic, batch.partition)


def test_series_gets_a_handle_again_after_it_was_forgotten(name: str) -> None:
    series, one = SeriesIndex(), decoder(name)
    batch = raw(GOODS[name], first=2)
    before = readable(one.decode(batch, series), series)
    assert before
    series.retain([])
    assert len(series) == 0
    assert readable(one.decode(batch, series), series) == before
