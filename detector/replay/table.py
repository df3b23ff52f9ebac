"""Series in a CSV file: a column each (wide, as Grafana exports a panel), or rows of several below each other (long).

In a long table, columns of text such as `host` say which series a row belongs to.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from detector.decoders import CsvDecoder
from detector.decoders.csv import is_header, stamp_of
from detector.decoders.general import Times
from detector.decoders.timestamps import parse_number, seconds
from detector.errors import DecodeError
from detector.records import Float64, Int64, RawBatch
from detector.replay.header import COMMENT, Header, read_header
from detector.replay.telling import newest_first, numbered, telling_columns
from detector.series import SeriesIndex, SeriesKey

MOST_TEXTS = 65_536
"""A column with more different cells does not tell series apart."""
ROWS_EACH = 2
"""Nor does one with fewer rows than this for each of its cells."""
SERIES_WORDS = frozenset(
    {"metric", "metric_name", "name", "__name__", "series", "host", "hostname", "instance", "server", "node", "device"}
    | {"sensor", "sensor_id", "machine", "pod", "container", "service", "job"}
)
"""Columns by which series are usually told apart."""
_METRIC_WORDS = frozenset({"metric", "metric_name", "name", "__name__"})
_PEEKED_BYTES = 65_536


def series(handle: io.BufferedReader, complain: Callable[[str], None]) -> dict[str, bytes] | None:
    """Rows `timestamp,value` of each series, by its name; the name is empty if the file's own is enough.

    None if the lines of the file can be read as they are: it is a single series in its first two columns, oldest row
    first. Columns that are not read are reported to `complain`. Raises ValueError.
    """
    try:
        header = read_header(handle, complain)
        if header is None:
            return _reversed_lines(handle, complain)
        begin = handle.tell()
        table = _Table.of(header, _rows(handle, header))
        labels = table.labels()
        _remark(table, labels, complain)
        if header.plain and not labels and table.measures == [1] and not table.newest_first(labels):
            return None
        if not table.measures:
            if header.plain:
                return None
            raise ValueError("no column of its header holds numbers")
        handle.seek(begin)
        return _split(table, labels, _rows(handle, header), complain)
    except csv.Error as exc:
        raise ValueError(f"cannot be read as CSV: {exc}") from exc


def _rows(handle: io.BufferedReader, header: Header) -> Iterator[list[str]]:
    """Rows below the header; not comments, nor copies of the header, which precede each table of an InfluxDB export."""
    lines = (line.decode("utf-8", "replace") for line in handle if not line.startswith(COMMENT))
    for row in csv.reader(lines, delimiter=header.separator):
        if len(row) < 3 or [cell.strip() for cell in row] != header.cells:
            yield row


@dataclass(slots=True)
class _Column:
    """What the cells of a column look like."""

    may_tell: bool
    """Whether it may tell series apart, from what is known so far: not once it holds values."""
    whole_may_tell: bool
    """Whether whole numbers are no values."""
    numbers: bool = False
    codes: array[int] = field(default_factory=lambda: array("q"))
    """One per row, equal for equal cells, while `may_tell`."""
    known: dict[str, int] = field(default_factory=dict)

    def add(self, cell: str, separator: str) -> None:
        if not self.may_tell:
            self.numbers = self.numbers or _number(cell, separator) is not None
            return
        code = self.known.get(cell)
        if code is None:
            number = _number(cell, separator)
            self.numbers = self.numbers or number is not None
            if len(self.known) >= MOST_TEXTS or not (number is None or (self.whole_may_tell and number.is_integer())):
                self.may_tell = False
                self.codes, self.known = array("q"), {}
                return
            code = self.known[cell] = len(self.known)
        self.codes.append(code)


@dataclass(slots=True)
class _Table:
    """What a first look at the rows finds."""

    header: Header
    times: Float64
    """[N] unix seconds; NaN if it is none."""
    columns: dict[int, _Column]
    """By position; all but those of the time and the index."""

    @classmethod
    def of(cls, header: Header, rows: Iterator[list[str]]) -> _Table:
        values = header.value is not None
        at_hand = {
            at: _Column(at != header.value, values or _is_identity(header.names[at]))
            for at in (*header.others, *(() if header.value is None else (header.value,)))
        }
        stamps, parse = array("d"), Times(per_second=1.0)
        for row in rows:
            if not row:
                continue
            try:
                stamps.append(parse(_stamp(row, header)))
            except DecodeError:
                stamps.append(np.nan)
            for at, column in at_hand.items():
                column.add(row[at] if at < len(row) else "", header.separator)
        return cls(header, seconds(np.array(stamps), "auto"), at_hand)

    @property
    def measures(self) -> list[int]:
        """Columns of values."""
        value = self.header.value
        candidates = [value] if value is not None else self.header.others
        return [at for at in candidates if self.columns[at].numbers]

    def labels(self) -> list[int]:
        """Columns that tell series apart; empty if each column of values is one series."""
        candidates = [at for at in self.header.others if self._may_tell(at)]
        names = [self.header.names[at].lower() in SERIES_WORDS for at in candidates]
        timed = np.isfinite(self.times)
        chosen = telling_columns(self.times[timed], [self._codes(at)[timed] for at in candidates], names)
        return [candidates[at] for at in chosen]

    def newest_first(self, labels: list[int]) -> bool:
        """Whether the rows of the series go back in time."""
        codes = [self._codes(at) for at in labels]
        groups, timed = numbered(codes, range(len(codes)), len(self.times)), np.isfinite(self.times)
        return newest_first(self.times[timed], groups[timed])

    def _codes(self, at: int) -> Int64:
        return np.array(self.columns[at].codes, dtype=np.int64)

    def _may_tell(self, at: int) -> bool:
        """Whether a column may tell series apart: there are several rows for each of its texts."""
        column = self.columns[at]
        return column.may_tell and len(column.known) * ROWS_EACH <= len(self.times)


def _split(
    table: _Table, labels: list[int], rows: Iterator[list[str]], complain: Callable[[str], None]
) -> dict[str, bytes]:
    """Rows of each series, by name."""
    header, measures = table.header, [at for at in table.measures if at not in labels]
    parts: dict[tuple[str, ...], list[bytearray]] = {}
    for row in rows:
        if labels and not row:
            continue
        stamp = _cell(_stamp(row, header), header.separator)
        key = tuple(row[at].strip() if at < len(row) else "" for at in labels)
        columns = parts.get(key)
        if columns is None:
            columns = parts[key] = [bytearray() for _ in measures]
        for at, column in zip(measures, columns, strict=True):
            value = f"{header.separator}{_cell(row[at], header.separator)}" if at < len(row) else ""
            column += f"{stamp}{value}\n".encode()
    first = f"timestamp{header.separator}value\n".encode()
    backward = table.newest_first(labels)
    if backward:
        complain("its rows are newest first: read from the last to the first")
    found = {}
    for key, columns in parts.items():
        for at, column in zip(measures, columns, strict=True):
            lines = b"".join(reversed(column.splitlines(keepends=True))) if backward else bytes(column)
            found[_name(header, at, labels, key)] = first + lines
    return found


def _name(header: Header, measure: int, labels: list[int], key: tuple[str, ...]) -> str:
    """Of a series: empty, the column's name, or a metric with labels as in Prometheus."""
    own = "" if measure == header.value else header.names[measure]
    if not labels:
        return own
    named = dict(zip((header.names[at] for at in labels), key, strict=True))
    metric = next((name for name in named if name.lower() in _METRIC_WORDS), None)
    if metric is not None and not own:
        own = named.pop(metric)
    return str(SeriesKey.of(own, named))


def _remark(table: _Table, labels: list[int], complain: Callable[[str], None]) -> None:
    """Say which columns are not read, and which tell series apart."""
    header, names = table.header, table.header.names

    def listed(columns: list[int]) -> str:
        return "column " + ", ".join(repr(names[at]) for at in columns)

    if labels:
        complain(f"rows of several series, told apart by {listed(labels)}")
    left = [at for at in header.others if at not in labels and (at not in table.measures)]
    if not left or not table.measures or (header.plain and header.value is not None and not labels):
        return
    why = "it does not tell series apart" if labels else "it has no numbers"
    if header.value is not None and not labels:
        why = f"the values are in {names[header.value]!r}"
    complain(f"not read, because {why}: {listed(left)}")


def _reversed_lines(handle: io.BufferedReader, complain: Callable[[str], None]) -> dict[str, bytes] | None:
    """All lines in reverse if the rows `timestamp,value` of a file begin with its newest; otherwise None."""
    handle.seek(0)
    peeked = handle.read(_PEEKED_BYTES)
    lines = peeked.splitlines()[: -1 if len(peeked) == _PEEKED_BYTES else None]
    batch = RawBatch(
        "rows", 0, np.arange(1, len(lines) + 1), np.full(len(lines), np.nan), list(lines), [None] * len(lines)
    )
    times = CsvDecoder().decode(batch, SeriesIndex()).times
    if not newest_first(times, np.zeros(len(times), np.int64)):
        return None
    complain("its rows are newest first: read from the last to the first")
    handle.seek(0)
    lines = handle.read().splitlines()
    header = lines[:1] if is_header(lines[0]) else []
    return {"": b"\n".join([*header, *reversed(lines[len(header) :])])}


def _is_identity(name: str) -> bool:
    return name.lower() in SERIES_WORDS or name.lower().endswith("id")


def _number(cell: str, separator: str) -> float | None:
    text = cell.strip()
    try:
        return parse_number(text if separator == "," else text.replace(",", "."))
    except ValueError:
        return None


def _stamp(row: list[str], header: Header) -> str:
    return stamp_of(" ".join(row[at].strip() for at in header.time if at < len(row)))


def _cell(text: str, separator: str) -> str:
    """A cell as the decoder reads it: quoted if it contains the separator."""
    plain = " ".join(text.split())
    return f'"{plain}"' if separator in plain else plain
