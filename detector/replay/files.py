"""The files of a replay: CSV, one stream a file; which they are, and their lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from detector.errors import SourceError
from detector.records import Outcome

ROWS_PER_SLICE = 512
MALFORMED_TOLD = 5
"""Malformed rows of a file that are told one by one."""


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """An input and where its verdicts go."""

    path: Path
    relative: Path

    @property
    def stream(self) -> str:
        """The stream's name: the relative path without its suffix, the same on every system."""
        return self.relative.with_suffix("").as_posix()


def find_files(inputs: list[Path]) -> list[ReplayFile]:
    """CSV files named or found below named folders, sorted. Raises SourceError for missing or ambiguous ones."""
    found: dict[Path, ReplayFile] = {}
    for given in inputs:
        if given.is_dir():
            inside = (path for path in sorted(given.rglob("*")) if path.suffix.lower() == ".csv" and path.is_file())
            files = [ReplayFile(path, path.relative_to(given)) for path in inside]
            if not files:
                raise SourceError(f"{given}: no .csv file in this folder or below it")
        elif given.is_file():
            files = [ReplayFile(given, Path(given.name))]
        elif given.exists() or given == Path("-"):
            raise SourceError(f"{given}: is neither a file nor a folder; write what comes from there into a file first")
        else:
            raise SourceError(f"{given}: no such file or folder")
        for file in files:
            other = found.setdefault(file.relative, file)
            if other.path != file.path:
                raise SourceError(
                    f"{other.path} and {file.path} would both be written to {file.relative}; replay them apart"
                )
    return sorted(found.values(), key=lambda file: file.relative)


def demand_rows(files: list[ReplayFile], readable: int) -> None:
    """Raises SourceError where there was no row in all of the files that could be read."""
    if not readable:
        told = files[0].path if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"
        raise SourceError(f"{told}: no row `timestamp,value` that can be read")


class Reader:
    """Lines of one file, a slice at a time. The next line to read has the number `line`, as an editor counts."""

    def __init__(self, file: ReplayFile, handle: IO[bytes]) -> None:
        self.path = file.path
        self.stream = file.stream
        self.line = 1
        self.malformed = 0
        self.outcomes: Counter[Outcome] = Counter()
        """What became of the rows that could be read, so far."""
        self._handle = handle

    @classmethod
    def open(cls, file: ReplayFile) -> Reader:
        try:
            return cls(file, file.path.open("rb"))
        except OSError as exc:
            raise SourceError(f"{file.path}: cannot be read: {exc.strerror}") from exc

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def told(self) -> Iterator[str]:
        """Why rows of it, or all of them, have no score: lines that a person should see."""
        if self.malformed > MALFORMED_TOLD:
            yield f"{self.path}: {self.malformed - MALFORMED_TOLD} more rows that cannot be read"
        readable, late, twice = self.outcomes.total(), self.outcomes[Outcome.LATE], self.outcomes[Outcome.DUPLICATE]
        if late:
            old = f"{late + twice} of {readable} rows are not newer than one before them"
            yield f"{self.path}: {old} and have no score; sort it"
        elif twice:
            yield f"{self.path}: {twice} of {readable} rows have the time of the row before them and no score"
        elif self.outcomes[Outcome.WARMUP] and not self.outcomes[Outcome.SCORED]:
            yield f"{self.path}: none of {readable} rows has a score: scoring.warmup_samples are learnt from first"

    def next_lines(self) -> list[bytes]:
        """Up to `ROWS_PER_SLICE` lines without their ends; empty at the end of the file."""
        lines = []
        for raw in self._handle:
            lines.append(raw.rstrip(b"\r\n"))
            if len(lines) == ROWS_PER_SLICE:
                break
        self.line += len(lines)
        return lines
