"""The section `decoder` of `config.yaml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from detector.config.avro import AvroDecoder
from detector.config.fields import Fields, Unit
from detector.config.values import Section

DecoderName = Literal[
    "json", "avro", "telegraf", "influx", "collectd", "remote_write", "otlp", "vector", "metricbeat", "csv", "routed"
]  # fmt: skip


class JsonDecoder(Section):
    """One sample per object; a record is one object, an array, or one object per line."""

    fields: Fields = Fields()
    timestamp_unit: Unit = "auto"


class CollectdDecoder(Section):
    """What collectd's records do not say."""

    store_rates: bool = True


class OtlpDecoder(Section):
    """Which attributes of an OTLP record identify a series."""

    ignore_resource_attributes: list[str] = ["telemetry.*"]


class MetricbeatDecoder(Section):
    """Which fields of a Metricbeat event are labels or ignored, beyond the built-in ones; dotted paths with * and ?."""

    labels: list[str] = []
    ignore: list[str] = []


class Decoder(Section):
    """How bytes become samples."""

    type: DecoderName = "json"
    counters: list[str] = []
    gauges: list[str] = []
    json_: JsonDecoder = Field(default=JsonDecoder(), alias="json")
    avro: AvroDecoder = AvroDecoder()
    collectd: CollectdDecoder = CollectdDecoder()
    otlp: OtlpDecoder = OtlpDecoder()
    metricbeat: MetricbeatDecoder = MetricbeatDecoder()

    @model_validator(mode="after")
    def _complete(self) -> Decoder:
        if self.type == "avro":
            self.avro.require_schemas()
        return self
