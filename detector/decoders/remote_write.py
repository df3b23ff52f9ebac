"""Prometheus remote write 1.0: a `WriteRequest`, as snappy block, a record; any number of series in each.

What bridges from HTTP to Kafka hand on, and Telegraf's `prometheusremotewrite` format. A stale marker, the NaN by which
Prometheus says that a series ended, is a gap; any other NaN is discarded. Names tell counters, as for JSON. Native
histograms, exemplars and metadata are passed over.

Reasons of a `Reject`:
    tombstone    no bytes at all
    oversize     larger than MAX_RECORD_BYTES, or than MAX_INFLATED_BYTES when inflated
    compression  no snappy block
    syntax       no such message
    version      remote write 2.0
    encoding     a label that is not UTF-8
    identity     a series without labels
    labels       too long
    no_numbers   no sample in it
"""

from __future__ import annotations

import math
import struct

import cramjam

from detector.decoders.columns import Columns, decode_records
from detector.decoders.identity import Kinds, remember
from detector.decoders.protobuf import FIXED64, LENGTH, VARINT, fields, signed, varint
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex, SeriesKey

MAX_INFLATED_BYTES = 1 << 24

_STALE = (0x7FF0_0000_0000_0002).to_bytes(8, "little")
_TIME_SERIES = 1
_SYMBOLS, _TIME_SERIES_OF_2 = 4, 5
_LABELS, _SAMPLES = 1, 2
_VALUE, _TIMESTAMP = 1, 2
_VALUE_KEY, _TIMESTAMP_KEY = b"\x09", b"\x10"
_DOUBLE = struct.Struct("<d").unpack_from
_USUAL_SAMPLE = b"\x12\x10"
"""Field 2 of a `TimeSeries`, 16 bytes long: a value, and milliseconds of our age."""
_USUAL_SAMPLE_BYTES = len(_USUAL_SAMPLE) + 16


class RemoteWriteDecoder:
    """Decoder of remote write requests."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            try:
                for number, wire, message in fields(_inflated(payload)):
                    if number in (_SYMBOLS, _TIME_SERIES_OF_2):
                        raise DecodeError("version", "is remote write 2.0; let the sender write 1.0")
                    if number == _TIME_SERIES and wire == LENGTH and isinstance(message, bytes):
                        self._take(columns, row, message, series)
            except ValueError as exc:
                raise DecodeError("syntax", str(exc)) from exc

        return decode_records(batch, "ms", read)

    def _take(self, columns: Columns, row: int, message: bytes, series: SeriesIndex) -> None:
        """Raises DecodeError, ValueError."""
        # Nearly every series has one sample, at its end, of the same size: what is before it was seen before.
        labels = message[:-_USUAL_SAMPLE_BYTES]
        tag = series.by_raw.get(labels)
        if tag is not None and message.startswith(_USUAL_SAMPLE, len(labels)):
            samples = [message[len(labels) + len(_USUAL_SAMPLE) :]]
        else:
            tag, samples = self._series(message, labels, series)
        for sample in samples:
            value, milliseconds = _sample(sample)
            if value is None:
                columns.gaps.append(len(columns.values))
            columns.rows.append(row)
            columns.tags.append(tag)
            columns.times.append(milliseconds)
            columns.values.append(math.nan if value is None else value)

    def _series(self, message: bytes, usual: bytes, series: SeriesIndex) -> tuple[int, list[bytes]]:
        """Tag and samples of a `TimeSeries`; `usual` is where its labels stand if it is as usual."""
        labels: list[bytes] = []
        samples: list[bytes] = []
        others, number = 0, 0
        for number, wire, part in fields(message):
            if wire == LENGTH and number == _LABELS and isinstance(part, bytes):
                labels.append(part)
            elif wire == LENGTH and number == _SAMPLES and isinstance(part, bytes):
                samples.append(part)
            else:
                others += 1
        if not samples:
            return -1, samples
        at_its_end = not others and len(samples) == 1 and number == _SAMPLES
        is_usual = at_its_end and message[len(usual) :] == _USUAL_SAMPLE + samples[0]
        spelling = usual if is_usual else tuple(labels)
        tag = series.by_raw.get(spelling)
        if tag is None:
            key = SeriesKey.of("", dict(map(_label, labels)))
            tag = remember(series, spelling, key, self._kinds(key))
        return tag, samples


def _inflated(payload: bytes) -> bytes:
    """Raises DecodeError."""
    try:
        size, _ = varint(payload, 0)
        if size <= MAX_INFLATED_BYTES:
            return bytes(cramjam.snappy.decompress_raw(payload))
    except (cramjam.DecompressionError, ValueError) as exc:
        raise DecodeError("compression", str(exc)) from exc
    raise DecodeError("oversize", f"{size} bytes when inflated, more than {MAX_INFLATED_BYTES}")


def _label(message: bytes) -> tuple[str, str]:
    parts = {number: part for number, wire, part in fields(message) if wire == LENGTH and isinstance(part, bytes)}
    try:
        return parts.get(1, b"").decode(), parts.get(2, b"").decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} of a label is not UTF-8") from exc


def _sample(message: bytes) -> tuple[float | None, float]:
    """(value, None for a stale marker; milliseconds). What is 0 is not written."""
    if message[:1] == _VALUE_KEY and message[9:10] == _TIMESTAMP_KEY:
        moment, end = varint(message, 10)
        if end == len(message):
            return None if message[1:9] == _STALE else _DOUBLE(message, 1)[0], float(signed(moment))
    value: float | None = 0.0
    milliseconds = 0.0
    for number, wire, part in fields(message):
        if number == _VALUE and wire == FIXED64 and isinstance(part, bytes):
            value = None if part == _STALE else _DOUBLE(part)[0]
        elif number == _TIMESTAMP and wire == VARINT and isinstance(part, int):
            milliseconds = float(signed(part))
    return value, milliseconds
