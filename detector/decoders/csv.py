"""Lines `timestamp,value`: one stream a file, named as its file (`RawBatch.topic`). An empty value is a gap.

The timestamp is an RFC 3339 time (a space for the `T` and a missing offset are fine) or a number of unix seconds,
milliseconds, microseconds or nanoseconds by magnitude. A first line whose first cell has no digit is a header and holds
no sample; columns behind the second are not read. `null`, `none`, `na` and `n/a` in any case are empty, too. A file's
name says nothing of its kind: values are levels, unless `decoder.counters` names the file.

Reasons of a `Reject`: `tombstone`, `empty`, `oversize`, `encoding`, `columns` (no comma, or a header with the time in
another column), `timestamp`, `value`, and `identity` or `labels` for a file name that cannot name a stream.
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
_TIME_WORDS = frozenset({"timestamp", "time", "datetime", "date", "ts", "_time", "@timestamp"})
"""What a header calls the column of times."""
_NOTHING = frozenset({"", "null", "none", "na", "n/a"})
"""How programs write that there is no value."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class CsvDecoder:
    """Decoder of the lines of CSV files; a batch's offsets are line numbers."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        self._kinds = kinds or Kinds(suffixes=())
        self._times = Times(per_second=1.0)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        columns = Columns()
        for row, line in enumerate(batch.values):
            try:
                if batch.offsets[row] == 1 and line is not None and is_header(line):
                    _check(line)
                    continue
                stamp, value = _cells(line)
                time, number = self._times(stamp), None if value.lower() in _NOTHING else number_of(value)
                tag = series.by_raw.get(batch.topic)
                if tag is None:
                    key = SeriesKey.of(batch.topic)
                    tag = remember(series, batch.topic, key, self._kinds(key))
                columns.extend(row, [(tag, time, number)])
            except DecodeError as exc:
                columns.reject(batch, row, exc)
        return columns.finish(batch, "auto")


def is_header(first_line: bytes) -> bool:
    """Whether the first line of a file names columns: its first cell, which may be empty, has no digit.

    >>> is_header(b'"Time","web-1"'), is_header(b",0"), is_header(b"2025-06-15 08:00:00,7")
    (True, True, False)
    """
    cell, comma, _ = first_line.partition(b",")
    return bool(comma) and not any(byte in b"0123456789" for byte in cell)


def _check(header: bytes) -> None:
    """Raises DecodeError for UTF-16, and for the time elsewhere: rows could be read as if it were not so."""
    if header.startswith(_UTF_16):
        raise DecodeError("encoding", "the file is UTF-16; save it as UTF-8")
    names = [cell.strip(_AROUND) for cell in header.decode(errors="replace").split(",")]
    words = [name.lower() in _TIME_WORDS for name in names]
    if any(words) and not words[0]:
        at = words.index(True)
        raise DecodeError("columns", f"{names[at]!r} is column {at + 1}, and has to be the first, the value second")


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
        if not stamp.strip():
            raise DecodeError("empty", "a line without anything in it")
        other = next((f", but {name}" for mark, name in _OTHER_SEPARATORS.items() if mark in stamp), "")
        raise DecodeError("columns", f"{stamp[:60]!r} holds no comma{other}")
    value = rest.partition(",")[0] if "," in rest else rest
    return stamp.strip(_AROUND), value.strip(_AROUND)
