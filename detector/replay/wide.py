"""CSV files with one column per series, as Grafana exports a panel: a time, then a value of each series."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import numpy as np

from detector.decoders import CsvDecoder
from detector.decoders.csv import is_header, split
from detector.decoders.timestamps import parse_number
from detector.records import RawBatch
from detector.series import SeriesIndex

_SEPARATOR_LINE = b"sep="
"""Precedes the header in some files for spreadsheets."""


def series(handle: io.BufferedReader, complain: Callable[[str], None]) -> dict[str, bytes] | None:
    """Rows `timestamp,value` of each column that holds numbers, by its name.

    None if the file is a single series in its first two columns: it has no header, its second column is called
    `value`, or no other column holds numbers. Columns that are not read are reported to `complain`. Raises ValueError.
    """
    try:
        first = handle.readline()
        if first.lower().startswith(_SEPARATOR_LINE):
            first = handle.readline()
        found = _header(first, complain)
        if found is None:
            return None
        names, separator = found
        columns, numeric = _columns(handle, separator, len(names))
    except csv.Error as exc:
        raise ValueError(f"cannot be read as CSV: {exc}") from exc
    read = [at for at, some in enumerate(numeric) if some]
    left = [repr(name) for name, some in zip(names, numeric, strict=True) if not some]
    if left and read:
        complain(f"not read, because it has no numbers: column {', '.join(left)}")
    return None if read in ([], [0]) else {names[at]: columns[at] for at in read}


def _columns(handle: io.BufferedReader, separator: str, count: int) -> tuple[list[bytes], list[bool]]:
    """The rows of each of `count` columns, and whether it has a number."""
    numeric = [False] * count
    columns = [bytearray(f"timestamp{separator}value\n".encode()) for _ in range(count)]
    for row in csv.reader((line.decode("utf-8", "replace") for line in handle), delimiter=separator):
        stamp = _cell(row[0], separator) if row else ""
        for at, column in enumerate(columns, 1):
            if at < len(row):
                column += f"{stamp}{separator}{_cell(row[at], separator)}\n".encode()
                numeric[at - 1] = numeric[at - 1] or _is_number(row[at], separator)
            else:
                column += f"{stamp}\n".encode()
    return [bytes(column) for column in columns], numeric


def _header(line: bytes, complain: Callable[[str], None]) -> tuple[list[str], str] | None:
    """The names of the columns after the first, and their separator, if the header names several series."""
    text = line.decode("utf-8", "replace").strip("\ufeff\r\n")
    if "\r" in text:
        raise ValueError("its lines end with a carriage return alone; save it with line feeds")
    separator = split(text)[1]
    if not separator:
        return None
    cells = [cell.strip() for cell in next(csv.reader([text], delimiter=separator), [])]
    if len(cells) < 3:
        return None
    if not is_header(line):
        complain("columns after the second are not read: no header names them")
        return None
    if cells[1].lower() == "value" or _is_refused(line):
        return None
    names: dict[str, None] = {}
    for number, cell in enumerate(cells[1:], 2):
        name = cell or f"column {number}"
        names[name if name not in names else f"{name} (column {number})"] = None
    return list(names), separator


def _is_refused(header: bytes) -> bool:
    """Whether the decoder rejects every row of a file with this header, and says why."""
    batch = RawBatch("header", 0, np.ones(1, dtype=np.int64), np.full(1, np.nan), [header], [None])
    return bool(CsvDecoder().decode(batch, SeriesIndex()).rejects)


def _cell(text: str, separator: str) -> str:
    """A cell as the decoder reads it: quoted if it contains the separator."""
    plain = " ".join(text.split())
    return f'"{plain}"' if separator in plain else plain


def _is_number(text: str, separator: str) -> bool:
    try:
        parse_number(text if separator == "," else text.replace(",", "."))
    except ValueError:
        return False
    return True
