"""A replayed file's verdicts as CSV: a row out for every row in."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import IO

import numpy as np

from detector.decoders.csv import is_header, split
from detector.records import AlertStatus, SampleBatch, ScoredBatch

HEADER = ("timestamp", "value", "expected", "lower", "upper", "anomaly_score", "alert")


class VerdictWriter:
    """Verdicts of one file; the file appears under its name only when it is whole."""

    def __init__(self, path: Path, handle: IO[str]) -> None:
        self._path = path
        self._handle = handle
        self._csv = csv.writer(handle, lineterminator="\n")
        self._csv.writerow(HEADER)

    @classmethod
    def open(cls, path: Path) -> VerdictWriter:
        """Begin the file, its folders included. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path, path.with_name(path.name + ".part").open("w", encoding="utf-8", newline=""))

    def __enter__(self) -> VerdictWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._handle.close()
        part = Path(self._handle.name)
        if kind is None:
            os.replace(part, self._path)
        else:
            part.unlink(missing_ok=True)

    def write(self, lines: list[bytes], first: int, samples: SampleBatch, scored: ScoredBatch) -> None:
        """A row for every line but the header, in order; a line without a sample keeps its text and has no verdict."""
        at_line = dict(zip((samples.offsets - first).tolist(), range(len(samples)), strict=True))
        names = [AlertStatus(status).name.lower() for status in range(len(AlertStatus))]
        names[AlertStatus.NONE] = ""
        columns = zip(
            scored.expected.tolist(), scored.lower.tolist(), scored.upper.tolist(), scored.scores.tolist(), strict=True
        )
        verdicts = list(columns)
        statuses = scored.statuses.tolist()
        for at, line in enumerate(lines):
            row = at_line.get(at)
            if row is None:
                if not (first + at == 1 and is_header(line)):
                    self._csv.writerow([*_text_cells(line), "", "", "", "0", ""])
                continue
            expected, lower, upper, score = verdicts[row]
            cells = [_number(expected), _number(lower), _number(upper), _number(score)]
            self._csv.writerow([*_text_cells(line), *cells, names[statuses[row]]])


def _text_cells(line: bytes) -> list[str]:
    stamp, _, value = split(line.decode("utf-8", "replace"))
    return [stamp, value]


def _number(value: float) -> str:
    return "" if np.isnan(value) else repr(value)
