"""Lines `timestamp,value`: one stream a file, named as its file (`RawBatch.topic`). An empty value is a gap.

The timestamp is an RFC 3339 time (a space for the `T` and a missing offset are fine) or a number of unix seconds,
milliseconds, microseconds or nanoseconds by magnitude. A first line `timestamp,value` is a header and holds no sample;
columns behind the second are not read. A file's name says nothing of its kind: values are levels, unless
`decoder.counters` names the file.

Reasons of a `Reject`: `tombstone`, `empty`, `oversize`, `encoding`, `columns` (no comma), `timestamp`, `value`, and
`identity` or `labels` for a file name that cannot name a stream.
"""

from __future__ import annotations

from detector.decoders.columns import Columns
from detector.decoders.general import Times, number_of
from detector.decoders.identity import Kinds, remember
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex, SeriesKey

MAX_LINE_BYTES = 65_536

_AROUND = ' "\t\r\n\ufeff'
"""What may stand around a cell: white space, quotes, the mark that some editors put before the first line."""
_HEADERS = frozenset({"timestamp", "time", "datetime", "date", "ts"})


class CsvDecoder:
    """Decoder of the lines of CSV files; a batch's offsets are line numbers."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        self._kinds = kinds or Kinds(suffixes=())
        self._times = Times(per_second=1.0)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        columns = Columns()
        for row, line in enumerate(batch.values):
            try:
                stamp, value = _cells(line)
                if stamp.lower() in _HEADERS and batch.offsets[row] == 1:
                    continue
                time, number = self._times(stamp), number_of(value) if value else None
                tag = series.by_raw.get(batch.topic)
                if tag is None:
                    key = SeriesKey.of(batch.topic)
                    tag = remember(series, batch.topic, key, self._kinds(key))
                columns.extend(row, [(tag, time, number)])
            except DecodeError as exc:
                columns.reject(batch, row, exc)
        return columns.finish(batch, "auto")


def _cells(line: bytes | None) -> tuple[str, str]:
    if line is None:
        raise DecodeError("tombstone", "a record without a value")
    if len(line) > MAX_LINE_BYTES:
        raise DecodeError("oversize", f"{len(line)} bytes, more than {MAX_LINE_BYTES}")
    try:
        stamp, comma, rest = line.decode().partition(",")
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} is not UTF-8") from exc
    if not comma:
        reason = "columns" if stamp.strip() else "empty"
        raise DecodeError(reason, f"{stamp[:60]!r} holds no comma")
    value = rest.partition(",")[0] if "," in rest else rest
    return stamp.strip(_AROUND), value.strip(_AROUND)
