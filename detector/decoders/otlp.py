"""OTLP metrics, as the OpenTelemetry Collector's Kafka exporter writes them: `otlp_proto` or `otlp_json`, told apart.

The labels of a series are its resource's attributes, its points' attributes, and the scope's name. Running totals
(monotonic cumulative sums) are counters; a delta is divided by its own interval, so both become a rate per second.
Histograms and summaries yield series for the count and the sum, `_count` and `_sum`, and summaries for each quantile.
`decoder.counters` and `decoder.gauges` do not apply: the format says what is a counter.

Reasons of a `Reject`:
    tombstone    no value
    oversize     larger than MAX_RECORD_BYTES, or more than MOST_SAMPLES samples
    syntax       neither an OTLP message nor JSON
    shape        JSON, but not OTLP metrics
    nesting      an attribute nested too deeply
    encoding     a name or text that is not UTF-8
    identity     a point without a name or label
    labels       too long, or too many of all samples together
    timestamp    an interval that ends before it begins
    no_numbers   no point
"""

from __future__ import annotations

import math

import msgspec

from detector.config.decoder import OtlpDecoder as Settings
from detector.decoders import otlp_json, otlp_protobuf
from detector.decoders.columns import Columns, decode_records
from detector.decoders.identity import key_of, matching, remember
from detector.decoders.otlp_metric import Metric, Part, Point, Temporality, labels
from detector.errors import DecodeError
from detector.records import Kind, RawBatch, SampleBatch
from detector.series import SeriesIndex

_JSON_BEGINS = b"{"
"""No protobuf `MetricsData` begins like this."""
_PER_SECOND = 1e9


class OtlpDecoder:
    """Decoder of both encodings of OTLP."""

    def __init__(self, settings: Settings) -> None:
        self._ignored = matching(settings.ignore_resource_attributes)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            reader = otlp_json if payload.startswith(_JSON_BEGINS) else otlp_protobuf
            try:
                for metric in reader.metrics(payload):
                    for point in metric.points:
                        self._take(columns, row, metric, point, series)
            except RecursionError:
                raise DecodeError("nesting", "an attribute nested too deeply") from None
            except msgspec.ValidationError as exc:
                raise DecodeError("shape", str(exc)) from exc
            except UnicodeDecodeError as exc:
                raise DecodeError("encoding", f"byte {exc.start} of a text is not UTF-8") from exc
            except (msgspec.MsgspecError, ValueError, OverflowError) as exc:
                raise DecodeError("syntax", str(exc)) from exc

        return decode_records(batch, "ns", read)

    def _take(self, columns: Columns, row: int, metric: Metric, point: Point, series: SeriesIndex) -> None:
        time = float(point.time) if point.time else math.nan
        columns.share(metric.shared + point.own, len(point.parts))
        for part in point.parts:
            is_delta = metric.temporality == Temporality.DELTA
            kind = Kind.COUNTER if part.is_total and not is_delta else Kind.GAUGE
            value = part.value
            if value is None:
                columns.gaps.append(len(columns.values))
            elif part.is_total and is_delta:
                value /= _interval(point)
            spelling = metric.origin, metric.name, point.attributes, part.suffix, part.quantile, kind
            tag = series.by_raw.get(spelling)
            columns.tags.append(self._new(series, spelling, metric, point, part, kind) if tag is None else tag)
            columns.rows.append(row)
            columns.times.append(time)
            columns.values.append(math.nan if value is None else value)

    def _new(
        self, series: SeriesIndex, spelling: tuple[object, ...], metric: Metric, point: Point, part: Part, kind: Kind
    ) -> int:
        found = metric.identity(point.attributes)
        kept = {name: value for name, value in found.resource.items() if not self._ignored.fullmatch(name)}
        named = labels(found._replace(resource=kept))
        if part.quantile:
            named["quantile"] = part.quantile
        name = f"{metric.name}{part.suffix}" if metric.name else ""
        return remember(series, spelling, key_of(None, name, named), kind)


def _interval(point: Point) -> float:
    """Seconds that a delta covers; 1 if its start is missing or is its end. Raises DecodeError."""
    if not point.start or point.start == point.time:
        return 1.0
    if point.start > point.time:
        raise DecodeError("timestamp", f"its interval starts at {point.start}, after its end at {point.time}")
    return (point.time - point.start) / _PER_SECOND
