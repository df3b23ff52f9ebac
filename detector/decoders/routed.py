"""Samples on the internal topic of `partitioning: repartition`: the router packs them, workers unpack them.

A record is a MessagePack map with samples of any number of series, all of one partition:

    version        1
    series         array of label sets, each a flat array `[label, value, label, value, ...]`; `__name__` is the metric
    which          uint32 [N]: index into `series` of each sample
    times          float64 [N]: unix seconds
    values         float64 [N]
    kinds          uint8 [N]: 0 a level, 1 a running total
    gaps           uint32: positions of samples without a value
    record_times   float64 [N]: when the original record was written; NaN if unknown

Columns are little-endian bytes. Fields may be added; a record of another version is rejected.

Reasons of a `Reject`:
    tombstone   no value
    oversize    larger than MAX_RECORD_BYTES
    syntax      not such a map
    version     written by a release that writes another version
    shape       columns that do not fit each other
    identity    a series without labels
    labels      not pairs of texts, or too long
    empty       no sample
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from detector.decoders.columns import Columns, checked
from detector.decoders.general import NOT_PARSED
from detector.decoders.identity import remember, unpack
from detector.decoders.outcomes import outcomes_of
from detector.errors import DecodeError
from detector.records import Float64, Int64, Kind, RawBatch, SampleBatch, Uint8
from detector.series import SeriesIndex, SeriesKey

VERSION = 1


class _Packed(msgspec.Struct, gc=False):
    version: int
    series: list[msgspec.Raw]
    which: bytes
    times: bytes
    values: bytes
    kinds: bytes
    gaps: bytes
    record_times: bytes


class _Version(msgspec.Struct, gc=False):
    version: int


_PARSE = msgspec.msgpack.Decoder(_Packed).decode
_PARSE_VERSION = msgspec.msgpack.Decoder(_Version).decode
_PARSE_LABELS = msgspec.msgpack.Decoder(list[str]).decode
_ENCODE = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """Columns of one record."""

    series: Int64
    times: Float64
    values: Float64
    kinds: Uint8
    outcomes: Uint8
    record_times: Float64


def pack_series(key: SeriesKey) -> bytes:
    """A series as encoded in a record."""
    return _ENCODE([part for pair in key.labels for part in pair])


def pack(
    series: list[bytes],
    which_N: Int64,
    times_N: Float64,
    values_N: Float64,
    kinds_N: Uint8,
    gaps: Int64,
    record_times_N: Float64,
) -> bytes:
    """A record of N samples; `series` come from `pack_series`, `gaps` are positions of samples without a value."""
    return _ENCODE(
        _Packed(
            VERSION,
            [msgspec.Raw(one) for one in series],
            which_N.astype("<u4").tobytes(),
            times_N.astype("<f8").tobytes(),
            values_N.astype("<f8").tobytes(),
            kinds_N.tobytes(),
            gaps.astype("<u4").tobytes(),
            record_times_N.astype("<f8").tobytes(),
        )
    )


class RoutedDecoder:
    """Decoder of what the router writes."""

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        columns = Columns()
        parts, rows = [_EMPTY], []
        for row, payload in enumerate(batch.values):
            try:
                parts.append(_unpack(checked(payload), series))
                rows += [row] * len(parts[-1].series)
            except DecodeError as exc:
                columns.reject(batch, row, exc)
        return SampleBatch(
            batch.topic,
            batch.partition,
            series=np.concatenate([part.series for part in parts]),
            times=np.concatenate([part.times for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            kinds=np.concatenate([part.kinds for part in parts]),
            outcomes=np.concatenate([part.outcomes for part in parts]),
            offsets=batch.offsets[np.array(rows, dtype=np.int64)],
            record_times=np.concatenate([part.record_times for part in parts]),
            rejects=tuple(columns.rejects),
        )


def _unpack(payload: bytes, series: SeriesIndex) -> _Unpacked:
    """Raises DecodeError."""
    packed = _parse(payload)
    which, gaps = (_column(raw, "<u4").astype(np.int64) for raw in (packed.which, packed.gaps))
    times, values, record_times = (
        _column(raw, "<f8").astype(np.float64) for raw in (packed.times, packed.values, packed.record_times)
    )
    kinds = _column(packed.kinds, "u1").astype(np.uint8)
    if not len(which):
        raise DecodeError("empty", "no sample")
    if not len(which) == len(times) == len(values) == len(record_times) == len(kinds):
        raise DecodeError("shape", "the columns differ in length")
    if which.max() >= len(packed.series) or kinds.max() > max(Kind) or (gaps >= len(which)).any():
        raise DecodeError("shape", "a column's index is out of range")
    values[gaps] = np.nan
    tags = [_tag(bytes(one), series) for one in packed.series]
    handles, _ = unpack(tags)
    return _Unpacked(
        handles[which],
        times,
        values,
        kinds,
        outcomes_of(times, values, gaps.tolist()),
        record_times,
    )


def _parse(payload: bytes) -> _Packed:
    try:
        packed = _PARSE(payload)
    except NOT_PARSED as exc:
        try:
            version = _PARSE_VERSION(payload).version
        except NOT_PARSED:
            version = VERSION
        if version != VERSION:
            raise DecodeError("version", f"is of version {version}, not {VERSION}") from None
        raise DecodeError("syntax", str(exc)) from exc
    if packed.version != VERSION:
        raise DecodeError("version", f"is of version {packed.version}, not {VERSION}")
    return packed


def _tag(spelling: bytes, series: SeriesIndex) -> int:
    tag = series.by_raw.get(spelling)
    if tag is not None:
        return tag
    try:
        parts = _PARSE_LABELS(spelling)
    except NOT_PARSED as exc:
        raise DecodeError("labels", str(exc)) from exc
    if len(parts) % 2:
        raise DecodeError("labels", "a label without a value")
    labels = dict(zip(parts[::2], parts[1::2], strict=True))
    # Here each sample carries its kind.
    return remember(series, spelling, SeriesKey.of("", labels), Kind.GAUGE)


def _column(raw: bytes, dtype: str) -> npt.NDArray[np.generic]:
    try:
        return np.frombuffer(raw, dtype)
    except ValueError as exc:
        raise DecodeError("shape", str(exc)) from exc


_NOTHING = np.empty(0)
_EMPTY = _Unpacked(
    _NOTHING.astype(np.int64),
    _NOTHING,
    _NOTHING,
    _NOTHING.astype(np.uint8),
    _NOTHING.astype(np.uint8),
    _NOTHING,
)
