"""Prometheus remote write 1.0 and 2.0: one request per record, as a snappy block, with any number of series.

HTTP bridges to Kafka write this, and so does Telegraf's `prometheusremotewrite` format. The HTTP header with the
version is lost on the way, and each version read as the other is empty, without an error. The fields therefore tell
them apart: 1.0 has series in field 1 and metadata in 3; 2.0 has texts in field 4 and series in 5. A topic may hold
both.

A stale marker, the NaN with which Prometheus ends a series, is a gap; any other NaN is discarded. Native histograms,
exemplars and the start times of counters are ignored. `decoder.counters` and `decoder.gauges` say what is a counter,
else a series' metadata (2.0 only), else its name.

Reasons of a `Reject`:
    tombstone    no value
    oversize     larger than MAX_RECORD_BYTES, or than MAX_INFLATED_BYTES when inflated, or too many samples or fields
    compression  not a snappy block
    syntax       not a remote write message
    version      fields of 1.0 and of 2.0 in one message
    symbols      2.0: a table of texts that does not begin with "", or labels that do not refer to it in pairs
    encoding     a label that is not UTF-8
    identity     a series without labels
    labels       too long; in 2.0 also one name twice, or too many bytes in all series together
    no_numbers   no sample
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cramjam

from detector.decoders import remote_write_v1 as v1
from detector.decoders import remote_write_v2 as v2
from detector.decoders.columns import MOST_SAMPLES, Columns, decode_records
from detector.decoders.identity import Kinds
from detector.decoders.protobuf import LENGTH, Fields, varint
from detector.decoders.remote_write_sample import read_sample
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex

MAX_INFLATED_BYTES = 1 << 24
_MOST_BYTES_PER_BYTE = 22
"""At best, three bytes of snappy stand for 64."""
LEAST_SAMPLES = 4_096
"""A record may have so many samples, and one more for each of its bytes. Real ones take at least four bytes each."""
LEAST_FIELDS, FIELDS_PER_BYTE = 65_536, 4
"""A record may have so many fields of messages, and so many more for each of its bytes. Real ones, in which a label is
three fields, have half as many at most."""

_SERIES, _METADATA = 1, 3
_SYMBOLS, _SERIES_OF_2 = 4, 5


class RemoteWriteDecoder:
    """Decoder of remote write requests."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            most = left = min(LEAST_SAMPLES + len(payload), MOST_SAMPLES)
            fields = Fields(LEAST_FIELDS + FIELDS_PER_BYTE * len(payload))
            try:
                for tag, samples in self._series(_inflated(payload), fields, series):
                    left -= len(samples)
                    if left < 0:
                        raise DecodeError("oversize", f"more than {most} samples")
                    for sample in samples:
                        value, milliseconds = read_sample(sample, fields)
                        if value is None:
                            columns.gaps.append(len(columns.values))
                            value = math.nan
                        columns.rows.append(row)
                        columns.tags.append(tag)
                        columns.times.append(milliseconds)
                        columns.values.append(value)
            except ValueError as exc:
                raise DecodeError("syntax", str(exc)) from exc

        return decode_records(batch, "ms", read)

    def _series(self, message: bytes, fields: Fields, series: SeriesIndex) -> Iterator[tuple[int, list[bytes]]]:
        """Tag and samples of each series. Raises DecodeError, ValueError."""
        symbols: list[bytes] = []
        of_2: list[bytes] = []
        is_1 = False
        for number, wire, part in fields(message):
            if wire != LENGTH or not isinstance(part, bytes):
                continue
            if number == _SERIES:
                is_1 = True
                yield v1.read_series(part, fields, series, self._kinds)
            elif number == _METADATA:
                is_1 = True
            elif number == _SYMBOLS:
                symbols.append(part)
            elif number == _SERIES_OF_2:
                of_2.append(part)
        if is_1 and (symbols or of_2):
            raise DecodeError("version", "has fields of remote write 1.0 and of 2.0")
        if of_2:
            yield from v2.read_request(symbols, of_2, fields, series, self._kinds)


def _inflated(payload: bytes) -> bytes:
    """Raises DecodeError."""
    try:
        size, _ = varint(payload, 0)
        if size <= MAX_INFLATED_BYTES:
            if size > _MOST_BYTES_PER_BYTE * len(payload):  # memory is taken for as many as it claims
                raise ValueError(f"{len(payload)} bytes cannot be {size} when decompressed")
            return bytes(cramjam.snappy.decompress_raw(payload))
    except (cramjam.DecompressionError, ValueError) as exc:
        raise DecodeError("compression", str(exc)) from exc
    raise DecodeError("oversize", f"{size} bytes when decompressed, more than {MAX_INFLATED_BYTES}")
