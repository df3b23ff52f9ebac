"""The lines of a series that is replayed, a slice at a time, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO

from detector.records import Outcome
from detector.replay.compressed import readable
from detector.replay.files import ReplayFile

ROWS_PER_SLICE = 512
MALFORMED_TOLD = 5
"""Malformed rows of a file that are told one by one."""


class Reader:
    """Lines of one file, a slice at a time. The next line to read has the number `line`, as an editor counts."""

    def __init__(self, file: ReplayFile, handle: IO[bytes]) -> None:
        self.file = file
        self.line = 1
        self.malformed = 0
        self.outcomes: Counter[Outcome] = Counter()
        """What became of the rows that could be read, so far."""
        self._handle = handle

    @classmethod
    def open(cls, file: ReplayFile) -> Reader:
        """Raises SourceError."""
        return cls(file, file.open())

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def place(self, line: int) -> str:
        """Where a person finds that line."""
        return f"{self.file.shown}:{line}" if self.file.rows is None else f"{self.file.shown}, row {line - 1}"

    def told(self) -> Iterator[str]:
        """Why rows of it, or all of them, have no score: lines that a person should see."""
        shown = self.file.shown
        if self.malformed > MALFORMED_TOLD:
            yield f"{shown}: {self.malformed - MALFORMED_TOLD} more rows that cannot be read"
        rows, late, twice = self.outcomes.total(), self.outcomes[Outcome.LATE], self.outcomes[Outcome.DUPLICATE]
        if late:
            old = f"{late + twice} of {rows} rows are not newer than one before them"
            yield f"{shown}: {old} and have no score; sort it"
        elif twice:
            yield f"{shown}: {twice} of {rows} rows have the time of the row before them and no score"
        elif self.outcomes[Outcome.WARMUP] and not self.outcomes[Outcome.SCORED]:
            yield f"{shown}: none of {rows} rows has a score: scoring.warmup_samples are learnt from first"

    def next_lines(self) -> list[bytes]:
        """Up to `ROWS_PER_SLICE` lines without their ends; empty at the end of the file. Raises SourceError."""
        lines = []
        with readable(self.file.path):
            for raw in self._handle:
                lines.append(raw.rstrip(b"\r\n"))
                if len(lines) == ROWS_PER_SLICE:
                    break
        self.line += len(lines)
        return lines
