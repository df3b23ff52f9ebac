"""The first lines of a CSV file: what its columns are called, and which hold the time and the value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from detector.decoders.csv import TIME_WORDS, is_header, split

VALUE_WORDS = frozenset({"value", "_value"})
"""Names of the column of values; other columns of numbers are then no series."""
COMMENT = b"#"
_SEPARATOR_LINE = b"sep="
"""Precedes the header in some files for spreadsheets."""
_INFLUXDB = ("result", "table", "_start", "_stop")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Header:
    """Columns of a CSV file, by their position."""

    cells: list[str]
    names: list[str]
    """The same, made unique; a column without a name is `column N`."""
    separator: str
    time: tuple[int, ...]
    """The column of times, or those of date and time of day."""
    value: int | None
    """The column called `value`; None if each column of numbers is a series."""
    index: int | None
    """A column before the time without a name, as pandas writes row numbers; None if there is none."""
    plain: bool
    """Whether lines can be read as they are: nothing precedes the header, then the time, then the value or values."""

    @property
    def others(self) -> list[int]:
        """All columns but those of the time, the value and the index, and the bookkeeping of InfluxDB's exports."""
        known = {*self.time, self.value, self.index}
        left_out = _INFLUXDB if self.names[self.time[0]] == "_time" else ()
        return [at for at, name in enumerate(self.names) if at not in known and name not in left_out]


def read_header(handle: io.BufferedReader, complain: Callable[[str], None]) -> Header | None:
    """Read up to the header, inclusive; None if there is none or if it only names a time and a value.

    Raises ValueError for files of another encoding.
    """
    first = line = handle.readline()
    if line.startswith(_UTF_16):
        raise ValueError("is UTF-16; save it as UTF-8")
    while line.lower().startswith(_SEPARATOR_LINE) or line.removeprefix(b"\xef\xbb\xbf").startswith(COMMENT):
        line = handle.readline()
    text = line.decode("utf-8", "replace").strip("\ufeff\r\n")
    if "\r" in text:
        raise ValueError("its lines end with a carriage return alone; save it with line feeds")
    separator = split(text)[1]
    if not separator:
        return None
    cells = [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
    if not is_header(line):
        if len(cells) > 2:
            complain("columns after the second are not read: no header names them")
        return None
    found = _columns(cells, separator, begins=line is first or first.lower().startswith(_SEPARATOR_LINE))
    return None if found.plain and len(cells) < 3 else found


def _columns(cells: list[str], separator: str, *, begins: bool) -> Header:
    words = [cell.lower() for cell in cells]
    times = [at for at, word in enumerate(words) if word in TIME_WORDS]
    if {words[at] for at in times} == {"date", "time"} and len(times) == 2:
        time: tuple[int, ...] = tuple(sorted(times, key=lambda at: words[at]))
    else:
        time = tuple(times[:1]) or (0,)
    value = next((at for at, word in enumerate(words) if word in VALUE_WORDS), None)
    index = 0 if not cells[0] and 0 not in time else None
    names: dict[str, None] = {}
    for number, cell in enumerate(cells, 1):
        name = cell or f"column {number}"
        names[name if name not in names else f"{name} (column {number})"] = None
    plain = begins and time == (0,) and value in (None, 1)
    return Header(cells, list(names), separator, time, value, index, plain)
