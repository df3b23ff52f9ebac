"""collectd's JSON: names, kinds, refusals. What its real records mean is in test_wire.py."""

from __future__ import annotations

from typing import Any

import pytest

from detector.config.decoder import CollectdDecoder as Settings
from detector.decoders import CollectdDecoder
from detector.records import Kind
from detector.series import SeriesIndex
from tests.decoders.batches import packed, raw, readable

LIST = {
    "values": [1.5, 2],
    "dstypes": ["derive", "gauge"],
    "dsnames": ["rx", "value"],
    "time": 1_700_000_000.25,
    "interval": 10.0,
    "host": "a",
    "plugin": "interface",
    "plugin_instance": "eth0",
    "type": "if_octets",
    "type_instance": "",
}
GOOD = packed([LIST])


def changed(**fields: Any) -> bytes:
    return packed([{**LIST, **fields}])


POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "empty"),
    (b"[]", "empty"),
    (b" ", "empty"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\xff", "encoding"),
    (GOOD.replace(b"eth0", b"\xff"), "encoding"),
    (GOOD[:-1], "syntax"),
    (GOOD + b"]", "syntax"),
    (b"PUTVAL host/load/load 1:2", "syntax"),
    (b"[" * 200_000, "nesting"),
    (b"7", "shape"),
    (b"[7]", "shape"),
    (b"{}", "shape"),
    (packed(LIST), "shape"),
    (changed(values=[1]), "shape"),
    (changed(dsnames=["rx"]), "shape"),
    (changed(dstypes=["gauge"]), "shape"),
    (changed(values=["1", 2]), "shape"),
    (changed(time=None), "shape"),
    (changed(host=7), "shape"),
    (changed(plugin="", type="", dsnames=["", "value"], host="", plugin_instance=""), "identity"),
    (changed(plugin_instance="a" * 20_000), "labels"),
    (changed(values=[], dstypes=[], dsnames=[]), "no_numbers"),
    (packed([LIST, {**LIST, "values": [1]}]), "shape"),
]


def decoded(*values: bytes, store_rates: bool = True) -> list[Any]:
    series = SeriesIndex()
    samples = CollectdDecoder(Settings(store_rates=store_rates)).decode(raw(*values), series)
    assert not samples.rejects, samples.rejects
    return [(*line, Kind(kind).name) for line, kind in zip(readable(samples, series), samples.kinds, strict=True)]


def test_names_labels_and_times() -> None:
    labels = '{host="a",plugin_instance="eth0"}'
    assert [line[:3] for line in decoded(GOOD)] == [
        ("interface_if_octets_rx" + labels, 1_700_000_000.25, 1.5),
        ("interface_if_octets" + labels, 1_700_000_000.25, 2.0),
    ]
    [(load, *_), _] = decoded(changed(plugin="cpu", plugin_instance="0", type="cpu", type_instance="idle"))
    assert load == 'cpu_rx{host="a",plugin_instance="0",type_instance="idle"}'


@pytest.mark.parametrize(("store_rates", "kinds"), [(True, ["GAUGE", "GAUGE"]), (False, ["COUNTER", "GAUGE"])])
def test_kind_of_a_derive_depends_on_collectds_setting(store_rates: bool, kinds: list[str]) -> None:
    assert [line[-1] for line in decoded(GOOD, store_rates=store_rates)] == kinds


def test_absolute_value_is_divided_by_its_interval() -> None:
    record = changed(dstypes=["absolute", "counter"])
    assert [(line[2], line[-1]) for line in decoded(record, store_rates=False)] == [(0.15, "GAUGE"), (2.0, "COUNTER")]
    assert [line[2] for line in decoded(record)] == [1.5, 2.0]
    assert decoded(changed(dstypes=["absolute", "gauge"], interval=0), store_rates=False)[0][3] == "NOT_FINITE"


def test_null_is_a_gap_and_other_values_count() -> None:
    assert [line[2:4] for line in decoded(changed(values=[None, 2]))] == [(None, "GAP"), (2.0, "SCORED")]


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = CollectdDecoder(Settings()).decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == [offset for offset in range(2, len(values) + 1, 2) for _ in ("rx", "value")]
