"""A replayed file's verdicts as CSV: a row out for every row in."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from detector.decoders.csv import is_header, split
from detector.records import AlertStatus, SampleBatch, ScoredBatch
from detector.replay.output import whole, writing

HEADER = ("timestamp", "value", "expected", "lower", "upper", "anomaly_score", "alert")


class VerdictWriter:
    """Verdicts of one file."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self._path = path
        self._handle = handle
        self._put([HEADER])

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[VerdictWriter]:
        """The file appears under its name once it is complete. Raises SourceError."""
        with whole(path) as handle:
            yield cls(path, handle)

    def write(self, lines: list[bytes], first: int, samples: SampleBatch, scored: ScoredBatch) -> None:
        """Write a row per line but the header, in order; a line without a sample keeps its text, without a verdict.

        Raises SourceError.
        """
        self._put(self._rows(lines, first, samples, scored))

    def _put(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with writing(self._path):
            self._handle.write(text.getvalue().encode())

    def _rows(self, lines: list[bytes], first: int, samples: SampleBatch, scored: ScoredBatch) -> Iterator[list[str]]:
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
                    yield [*_text_cells(line), "", "", "", "0", ""]
                continue
            expected, lower, upper, score = verdicts[row]
            cells = [_number(expected), _number(lower), _number(upper), _number(score)]
            yield [*_text_cells(line), *cells, names[statuses[row]]]


def _text_cells(line: bytes) -> list[str]:
    stamp, _, value = split(line.decode("utf-8", "replace"))
    return [stamp, value]


def _number(value: float) -> str:
    return "" if np.isnan(value) else repr(value)
