"""The section `decoder` of `config.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from detector.config.values import Section

DecoderName = Literal["json", "telegraf", "influx", "collectd", "remote_write", "otlp", "csv", "routed"]


class JsonFields(Section):
    """Dotted paths to what a sample is made of."""

    name: str = "name"
    labels: str = "labels"
    stream: str = "stream"
    timestamp: str = "timestamp"
    value: str = "value"


class JsonDecoder(Section):
    """One sample an object; objects, arrays and newline-delimited objects."""

    fields: JsonFields = JsonFields()
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"


class CollectdDecoder(Section):
    """What collectd's records do not say themselves."""

    store_rates: bool = True


class OtlpDecoder(Section):
    """What of an OTLP record makes a series."""

    ignore_resource_attributes: list[str] = ["telemetry.*"]


class Decoder(Section):
    """How bytes become samples."""

    type: DecoderName = "json"
    counters: list[str] = []
    gauges: list[str] = []
    json_: JsonDecoder = Field(default=JsonDecoder(), alias="json")
    collectd: CollectdDecoder = CollectdDecoder()
    otlp: OtlpDecoder = OtlpDecoder()
