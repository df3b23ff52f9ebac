"""Lines `timestamp,value`: one stream per file, named after the file (`RawBatch.topic`). An empty value is a gap.

The timestamp is an RFC 3339 time (a space instead of the `T`, `UTC` behind it, and a missing offset are fine) or a
number: unix seconds, milliseconds, microseconds or nanoseconds, told by magnitude. Columns after the second are not
read. Semicolons or tabs may replace the commas; numbers may then have decimal commas. `null`, `none`, `na` and `n/a`,
in any case, also count as empty. A file's name does not tell its kind: values are levels unless `decoder.counters`
names the file.

A first line whose first cell has no digit is a header, without a sample; so is any later copy of it. A file whose
header has the time elsewhere than in the first column, or the value elsewhere than in the second, is rejected as a
whole, because its rows may look valid.

Reasons of a `Reject`: `tombstone`, `empty`, `oversize`, `encoding`, `columns` (only one, or in another order by the
header), `timestamp`, `value`, and `identity` or `labels` for a file name that cannot name a stream.
"""

from __future__ import annotations

import re

from detector.decoders.columns import Columns
from detector.decoders.general import Times, number_of
from detector.decoders.identity import Kinds, remember
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex, SeriesKey

MAX_LINE_BYTES = 65_536

_AROUND = ' "\t\r\n\ufeff'
"""Stripped from cells: white space, quotes, and the byte order mark that some editors put before the first line."""
TIME_WORDS = frozenset({"timestamp", "time", "datetime", "date", "ts", "_time", "@timestamp"})
"""Names of the time column in a header."""
_NOTHING = frozenset({"", "null", "none", "na", "n/a"})
"""How programs spell a missing value."""
_WITH_UNIT = re.compile(r"[-+]?\d[\d.,]*\s*(?:[^\W\d_]|[%°]).*")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class CsvDecoder:
    """Decoder of the lines of CSV files; a batch's offsets are line numbers."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        self._kinds = kinds or Kinds(suffixes=())
        self._times = Times(per_second=1.0)
        self._headers: dict[str, bytes] = {}
        """File -> its header, which recurs if another file replaces it or is appended to it."""
        self._refused: set[str] = set()
        """Files that have other columns, by their header."""

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        columns = Columns()
        for row, line in enumerate(batch.values):
            try:
                if line is not None and self._is_header(batch.topic, int(batch.offsets[row]), line):
                    self._take_header(batch.topic, line)
                    continue
                if batch.topic in self._refused:
                    raise DecodeError("columns", "not read: the header of the file names other columns")
                stamp, value = _cells(line)
                time, number = self._times(stamp), None if value.lower() in _NOTHING else _number(value)
                tag = series.by_raw.get(batch.topic)
                if tag is None:
                    key = SeriesKey.of(batch.topic)
                    tag = remember(series, batch.topic, key, self._kinds(key))
                columns.extend(row, [(tag, time, number)])
            except DecodeError as exc:
                columns.reject(batch, row, exc)
        return columns.finish(batch, "auto")

    def _is_header(self, file: str, number: int, line: bytes) -> bool:
        return is_header(line) if number == 1 else line == self._headers.get(file)

    def _take_header(self, file: str, line: bytes) -> None:
        self._headers[file] = line
        self._refused.add(file)
        _check(line)
        self._refused.remove(file)


def stamp_of(cell: str) -> str:
    """The time in a cell, without the quotes around it and the `UTC` behind it.

    >>> stamp_of(' "2025-06-15 08:00:00 UTC"')
    '2025-06-15 08:00:00'
    """
    return cell.strip(_AROUND).removesuffix(" UTC")


def is_header(first_line: bytes) -> bool:
    """Whether the first line of a file names columns: its first cell, which may be empty, has no digit.

    >>> is_header(b'"Time","web-1"'), is_header(b",0"), is_header(b"2025-06-15 08:00:00,7")
    (True, True, False)
    """
    cell, separator, _ = split(first_line.decode(errors="replace"))
    return bool(separator) and not any(character in "0123456789" for character in cell)


def split(line: str) -> tuple[str, str, str]:
    """The first cell, the separator and the second cell; the last two are empty if there is only one cell.

    Cells are separated by whichever of comma, semicolon and tab comes first.

    >>> split("2025-06-15,7,web-1"), split("2025-06-15;7,5"), split("7")
    (('2025-06-15', ',', '7'), ('2025-06-15', ';', '7,5'), ('7', '', ''))
    """
    first, separator, rest = line.partition(",")
    for mark in ";\t":
        if mark in first and mark in first.strip():
            first, separator, rest = line.partition(mark)
    return first, separator, rest.partition(separator)[0] if separator else ""


def _check(header: bytes) -> None:
    """Raises DecodeError for UTF-16, and for columns in another order, whose rows could be misread silently."""
    if header.startswith(_UTF_16):
        raise DecodeError("encoding", "the file is UTF-16; save it as UTF-8")
    text = header.decode(errors="replace")
    names = [cell.strip(_AROUND) for cell in text.split(split(text)[1])]
    words = [name.lower() for name in names]
    times = [at for at, word in enumerate(words) if word in TIME_WORDS]
    if times and times[0]:
        at = times[0]
        raise DecodeError("columns", f"{names[at]!r} is column {at + 1}, but must be the first, the value the second")
    if "value" in words[2:] and words[1] != "value":
        at = words.index("value")
        raise DecodeError("columns", f"{names[at]!r} is column {at + 1}, but must be the second, after the time")


def _number(text: str) -> float | None:
    """Raises DecodeError."""
    try:
        return number_of(text)
    except DecodeError as exc:
        if _WITH_UNIT.fullmatch(text):
            hint = "it has a unit; export plain numbers (in Grafana without `Formatted data`)"
            raise DecodeError(exc.reason, f"{exc.detail}: {hint}") from None
        raise


def _cells(line: bytes | None) -> tuple[str, str]:
    if line is None:
        raise DecodeError("tombstone", "a record without a value")
    if len(line) > MAX_LINE_BYTES:
        raise DecodeError("oversize", f"{len(line)} bytes, more than {MAX_LINE_BYTES}")
    try:
        stamp, separator, value = split(line.decode())
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} is not UTF-8") from exc
    if not (stamp.strip() or value.strip()):
        raise DecodeError("empty", "a blank line")
    if not separator:
        raise DecodeError("columns", f"{stamp[:60]!r} is one column: it contains no comma, semicolon or tab")
    if value.lstrip().startswith('"') and not value.rstrip().endswith('"'):
        raise DecodeError("value", f"{value[:60]!r} is followed by a comma within the quotes")
    # If semicolons or tabs separate the cells, a comma is a decimal comma.
    return stamp_of(stamp), (value if separator == "," else value.replace(",", ".")).strip(_AROUND)
