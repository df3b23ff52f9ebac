"""Decoders: turn the bytes of records into columns of samples."""

from collections.abc import Callable

from detector.config.decoder import Decoder as Settings
from detector.decoders.avro import AvroDecoder
from detector.decoders.collectd import CollectdDecoder
from detector.decoders.csv import CsvDecoder
from detector.decoders.identity import Kinds
from detector.decoders.influx import InfluxDecoder
from detector.decoders.json import JsonDecoder
from detector.decoders.metricbeat import MetricbeatDecoder
from detector.decoders.otlp import OtlpDecoder
from detector.decoders.remote_write import RemoteWriteDecoder
from detector.decoders.routed import RoutedDecoder
from detector.decoders.schema_registry import OnWait
from detector.decoders.telegraf import TelegrafDecoder
from detector.decoders.vector import VectorDecoder
from detector.protocols import Decoder

Factory = Callable[[Settings], Decoder]


def make_decoder(settings: Settings, on_wait: OnWait = lambda problem: None) -> Decoder:
    """The configured decoder; while it waits for a registry, it calls `on_wait`. Raises SchemaUnavailable."""
    return _avro(settings, on_wait) if settings.type == "avro" else DECODERS[settings.type](settings)


def _avro(settings: Settings, on_wait: OnWait = lambda problem: None) -> Decoder:
    return AvroDecoder(settings.avro, Kinds(settings.counters, settings.gauges), on_wait)


DECODERS: dict[str, Factory] = {
    "json": lambda settings: JsonDecoder(settings.json_, Kinds(settings.counters, settings.gauges)),
    "avro": _avro,
    "telegraf": lambda settings: TelegrafDecoder(settings.counters, settings.gauges),
    "influx": lambda settings: InfluxDecoder(settings.counters, settings.gauges),
    "collectd": lambda settings: CollectdDecoder(settings.collectd),
    "remote_write": lambda settings: RemoteWriteDecoder(Kinds(settings.counters, settings.gauges)),
    "otlp": lambda settings: OtlpDecoder(settings.otlp),
    "vector": lambda settings: VectorDecoder(),
    "metricbeat": lambda settings: MetricbeatDecoder(settings.metricbeat, settings.counters, settings.gauges),
    "csv": lambda settings: CsvDecoder(Kinds(settings.counters, settings.gauges, suffixes=())),
    "routed": lambda settings: RoutedDecoder(),
}
"""`decoder.type` -> factory."""

__all__ = [
    "DECODERS",
    "AvroDecoder",
    "CollectdDecoder",
    "CsvDecoder",
    "InfluxDecoder",
    "JsonDecoder",
    "MetricbeatDecoder",
    "OtlpDecoder",
    "RemoteWriteDecoder",
    "RoutedDecoder",
    "TelegrafDecoder",
    "VectorDecoder",
    "make_decoder",
]
