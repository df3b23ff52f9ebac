"""Captured records of real producers decode to what the producers themselves reported by other means."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

import pytest

from detector.config.decoder import Decoder as Settings
from detector.decoders import DECODERS
from detector.records import Kind, Outcome, SampleBatch
from detector.series import SeriesIndex, SeriesKey
from tests.wire.records import batch, expected, records

TELEGRAF = {
    "telegraf-json": "telegraf",
    "telegraf-json-ns": "telegraf",
    "telegraf-cloudevents": "telegraf",
    "telegraf-influx": "influx",
}


def decoded(name: str, **settings: Any) -> tuple[SampleBatch, SeriesIndex]:
    series, config = SeriesIndex(), Settings.model_validate(settings)
    samples = DECODERS[config.type](config).decode(batch(records(name)), series)
    assert samples.rejects == ()
    return samples, series


def cut_down(value: float) -> float:
    return min(value, 2**63 - 1) if isinstance(value, int) else value


def telegraf_key(each: dict[str, Any]) -> SeriesKey:
    return SeriesKey.of(f"{each['name']}_{each['field']}", each["labels"])


@pytest.mark.parametrize("name", TELEGRAF)
def test_telegraf_records_equal_its_file_output(name: str) -> None:
    samples, series = decoded(name, type=TELEGRAF[name])
    found = Counter(
        (series.key(handle), time, value)
        for handle, time, value in zip(
            samples.series.tolist(), samples.times.tolist(), samples.values.tolist(), strict=True
        )
    )
    # Without `influx_uint_support`, Telegraf itself cuts unsigned integers down to what int64 holds.
    cut = name == "telegraf-influx"
    assert found == Counter(
        (telegraf_key(each), each["timestamp_ns"] / 1e9, float(cut_down(each["value"]) if cut else each["value"]))
        for each in expected("telegraf")
    )
    assert len(samples) == 1_134


def collectd_key(each: dict[str, Any]) -> tuple[SeriesKey, float]:
    """Identity in collectd's csv file names: plugin-instance/type-instance and the data source."""
    plugin, _, plugin_instance = each["plugin"].partition("-")
    type_, _, type_instance = each["type"].partition("-")
    name = "_".join([plugin] + [type_] * (type_ != plugin) + [each["ds"]] * (each["ds"] != "value"))
    labels = {"host": each["host"], "plugin_instance": plugin_instance, "type_instance": type_instance}
    return SeriesKey.of(name, labels), round(each["time"], 2)


@pytest.mark.parametrize("rates", [True, False])
def test_collectd_records_equal_its_csv_output(rates: bool) -> None:
    name = f"collectd-json-rates-{str(rates).lower()}"
    samples, series = decoded(name, type="collectd", collectd={"store_rates": rates})
    told = {collectd_key(each): float(each["value"]) for each in expected(name)}
    for handle, time, value in zip(
        samples.series.tolist(), samples.times.tolist(), samples.values.tolist(), strict=True
    ):
        other = told.pop((series.key(handle), round(time, 2)))
        assert value == pytest.approx(other, rel=1e-5, abs=1e-6, nan_ok=True)
    # The CSV file of the run with totals has one more step at its end.
    assert len({time for _, time in told}) == (0 if rates else 1)
    assert len(samples) == 404


def test_gap_where_collectd_has_no_rate_yet() -> None:
    samples, _ = decoded("collectd-json-rates-true", type="collectd")
    gaps = samples.outcomes == Outcome.GAP
    assert int(gaps.sum()) == sum(math.isnan(float(each["value"])) for each in expected("collectd-json-rates-true")) > 0
    assert set(samples.kinds.tolist()) == {Kind.GAUGE}


def test_collectd_counters_and_gauges_are_distinguished() -> None:
    samples, series = decoded("collectd-json-rates-false", type="collectd", collectd={"store_rates": False})
    kinds = {series.key(handle).name: kind for handle, kind in zip(samples.series, samples.kinds, strict=True)}
    assert kinds["interface_if_octets_rx"] == kinds["cpu"] == Kind.COUNTER
    assert kinds["load_shortterm"] == kinds["memory"] == kinds["df_df_complex"] == Kind.GAUGE


def test_confluents_json_decodes_to_what_was_serialised() -> None:
    samples, series = decoded("confluent-json", type="json", json={"fields": {"timestamp": "ts"}})
    found = zip(samples.series.tolist(), samples.times.tolist(), samples.values.tolist(), strict=True)
    assert [(series.key(handle), time, None if value != value else value) for handle, time, value in found] == [
        (SeriesKey.of(each["name"], each["labels"]), each["timestamp_ns"] / 1e9, each["value"])
        for each in in_record_order(expected("confluent"))
    ]
    assert (samples.outcomes == Outcome.GAP).sum() == 1


def in_record_order(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records were dealt to partitions by their region, and are kept partition by partition."""
    places = {(each["labels"]["region"], each["timestamp_ns"]): each for each in told}
    written = (json.loads(record.value[5:]) for record in records("confluent-json"))
    return [places[each["labels"]["region"], each["ts"] * 1_000_000] for each in written]


def test_remote_write_equals_prometheus_query_results() -> None:
    samples, series = decoded("prometheus-remote-write-v1", type="remote_write")
    found = {
        (series.key(handle), time): (value, outcome)
        for handle, time, value, outcome in zip(
            samples.series.tolist(),
            samples.times.tolist(),
            samples.values.tolist(),
            samples.outcomes.tolist(),
            strict=True,
        )
    }
    assert len(found) == len(samples) == 238
    assert sum(outcome == Outcome.GAP for _, outcome in found.values()) == 3
    told = expected("prometheus-remote-write-v1")
    assert len(told) == 191
    for each in told:
        value, outcome = found[SeriesKey.of(each["name"], each["labels"]), each["timestamp_ms"] / 1e3]
        assert value == pytest.approx(float(each["value"]), nan_ok=True, rel=0)
        assert outcome == (Outcome.SCORED if math.isfinite(value) else Outcome.NOT_FINITE)
    kinds = {series.key(handle).name: kind for handle, kind in zip(samples.series, samples.kinds, strict=True)}
    assert kinds["app_requests_total"] == kinds["app_latency_seconds_bucket"] == Kind.COUNTER
    assert kinds["app_temp"] == kinds["up"] == Kind.GAUGE


def test_telegrafs_remote_write_equals_its_file_output() -> None:
    samples, series = decoded("telegraf-prometheusremotewrite", type="remote_write")

    def prometheus(name: str) -> str:
        return re.sub(r"[^a-zA-Z0-9_]", "_", name).rstrip("_")

    def identity(key: SeriesKey) -> tuple[str, frozenset[str]]:
        return prometheus(key.name), frozenset(value for name, value in key.labels if name != "__name__")

    found = Counter(
        (identity(series.key(handle)), time, value)
        for handle, time, value in zip(
            samples.series.tolist(), samples.times.tolist(), samples.values.tolist(), strict=True
        )
    )
    assert found == Counter(
        (identity(telegraf_key(each)), each["timestamp_ns"] / 1e9, float(each["value"]))
        for each in expected("telegraf")
    )


def test_otlp_equals_the_points_of_the_sdk() -> None:
    samples, series = decoded("otlp-proto", type="otlp")
    found = {
        (series.key(handle), time): (value, kind)
        for handle, time, value, kind in zip(
            samples.series.tolist(),
            samples.times.tolist(),
            samples.values.tolist(),
            samples.kinds.tolist(),
            strict=True,
        )
    }
    told = [part for each in expected("otlp-proto") for part in otlp_parts(each)]
    assert len(found) == len(samples) == len(told) == 264
    for key, time, total, kind in told:
        value, said = found[key, time]
        assert said == (Kind.COUNTER if kind in RUNNING else Kind.GAUGE)
        if kind.endswith("/delta"):
            # The account has no begin of the interval, which runs from the point before: the same for all of a record.
            assert value == 0.0 if total == 0 else value > 0.0
        else:
            assert value == total


RUNNING = {"Sum", "Histogram", "ExponentialHistogram"}


def otlp_parts(each: dict[str, Any]) -> list[tuple[SeriesKey, float, float, str]]:
    """(series, time, value, kind) of what the SDK said of a point; its queue is a sum that goes down as well."""
    labels = {
        name: json.dumps(value) if not isinstance(value, str) else value for name, value in each["labels"].items()
    }
    time, kind = each["timestamp_ns"] / 1e9, "UpDown" if each["name"] == "queue.length" else each["kind"]
    if not isinstance(each["value"], dict):
        return [(SeriesKey.of(each["name"], {**labels, "otel_scope_name": "app"}), time, float(each["value"]), kind)]
    return [
        (SeriesKey.of(f"{each['name']}_{part}", {**labels, "otel_scope_name": "app"}), time, float(value), kind)
        for part, value in each["value"].items()
    ]
