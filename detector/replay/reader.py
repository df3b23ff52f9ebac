"""Reads the lines of a replayed series a slice at a time and counts what became of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import IO

from detector.records import Outcome
from detector.replay.compressed import readable
from detector.replay.files import ReplayFile

ROWS_PER_SLICE = 512
MALFORMED_SHOWN = 5
"""How many malformed rows of a file are reported one by one."""
END_OF_1970 = 365 * 86_400.0
DISCARDED = (Outcome.NOT_FINITE, Outcome.OUT_OF_RANGE, Outcome.BAD_TIMESTAMP, Outcome.STREAM_LIMIT)
"""What may become of a row whose time and value could be read."""


class Reader:
    """Lines of one file, a slice at a time. `line` is the number of the next line, as editors count."""

    def __init__(self, file: ReplayFile, handle: IO[bytes]) -> None:
        self.file = file
        self.line = 1
        self.malformed = 0
        self.outcomes: Counter[Outcome] = Counter()
        """What has become of the readable rows so far."""
        self.newest = -math.inf
        """Latest time of a row so far, unix seconds."""
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
        """Where users find that line."""
        return f"{self.file.shown}:{line}" if self.file.rows is None else f"{self.file.shown}, row {line - 1}"

    def remarks(self) -> Iterator[str]:
        """What to tell users about rows without a score, or a file without any."""
        shown = self.file.shown
        if self.malformed > MALFORMED_SHOWN:
            yield f"{shown}: {self.malformed - MALFORMED_SHOWN} more rows that cannot be read"
        yield from self._discarded()
        if 0.0 <= self.newest < END_OF_1970:
            yield f"{shown}: all its times lie in 1970; they are read as unix time, not as row numbers or days"
        rows, late, twice = self.outcomes.total(), self.outcomes[Outcome.LATE], self.outcomes[Outcome.DUPLICATE]
        if late:
            old = f"{late + twice} of {rows} rows are not newer than an earlier row"
            yield f"{shown}: {old} and have no score; sort the file"
        elif twice:
            yield f"{shown}: {twice} of {rows} rows have the same time as the row before and no score"
        elif self.outcomes[Outcome.WARMUP] and not self.outcomes[Outcome.SCORED]:
            yield f"{shown}: none of {rows} rows has a score: the first scoring.warmup_samples are only learned from"

    def _discarded(self) -> Iterator[str]:
        """Rows that nothing can be learned from; NaN and infinity are common and only told if there is nothing else."""
        found = {outcome: self.outcomes[outcome] for outcome in DISCARDED if self.outcomes[outcome]}
        used = self.outcomes[Outcome.SCORED] or self.outcomes[Outcome.WARMUP]
        if found and not (used and found.keys() == {Outcome.NOT_FINITE}):
            reasons = ", ".join(f"{count} {outcome.name.lower()}" for outcome, count in found.items())
            many = f"{sum(found.values())} of {self.outcomes.total()} rows"
            yield f"{self.file.shown}: {many} are discarded: {reasons}"

    def next_lines(self) -> list[bytes]:
        """Up to `ROWS_PER_SLICE` lines without line ends; empty at the end of the file. Raises SourceError."""
        lines = []
        with readable(self.file.path):
            for raw in self._handle:
                lines.append(raw.rstrip(b"\r\n"))
                if len(lines) == ROWS_PER_SLICE:
                    break
        self.line += len(lines)
        return lines
