"""Replay: the pipeline over CSV files, one stream a file, and every row's verdict written beside it.

All files go through the pipeline together, a slice of each at a time, so that a round holds a sample of every file.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from detector.alerts import AlertRecord
from detector.decoders import CsvDecoder
from detector.errors import SourceError
from detector.pipeline import Pipeline
from detector.records import Alert, AlertStatus, Outcome, RawBatch, SampleBatch, ScoredBatch
from detector.series import SeriesIndex

HEADER = ("timestamp", "value", "expected", "lower", "upper", "anomaly_score", "alert")
ROWS_PER_SLICE = 512
FILES_AT_ONCE = 1024
"""Files that are open together; the operating system bounds their number."""
PARTITION = ("replay", 0)


@dataclass(slots=True)
class Summary:
    """What a replay did."""

    files: int = 0
    rows: int = 0
    scored: int = 0
    alerts: int = 0
    malformed: list[str] = field(default_factory=list)
    """`file:line: what` of the first malformed rows."""
    malformed_rows: int = 0


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """An input and where its verdicts go."""

    path: Path
    relative: Path

    @property
    def stream(self) -> str:
        """The stream's name: the relative path without its suffix, the same on every system."""
        return self.relative.with_suffix("").as_posix()


class Observer(Protocol):
    """Who wants to see verdicts as columns; called slice by slice, first all files' rows, then their alerts."""

    def rows(self, file: ReplayFile, samples: SampleBatch, scored: ScoredBatch) -> None:
        """The decoded samples of one file's slice, and their verdicts, aligned."""

    def alerts(self, alerts: tuple[Alert, ...]) -> None:
        """Alerts that began or ended in the slices; `ReplayFile.stream` is the name of their series."""


def find_files(inputs: list[Path]) -> list[ReplayFile]:
    """CSV files named or found below named folders, sorted. Raises SourceError for missing or ambiguous ones."""
    found: dict[Path, ReplayFile] = {}
    for given in inputs:
        if given.is_dir():
            files = [ReplayFile(path, path.relative_to(given)) for path in sorted(given.rglob("*.csv"))]
            if not files:
                raise SourceError(f"{given}: no .csv file in this folder or below it")
        elif given.is_file():
            files = [ReplayFile(given, Path(given.name))]
        else:
            raise SourceError(f"{given}: no such file or folder")
        for file in files:
            other = found.setdefault(file.relative, file)
            if other.path != file.path:
                raise SourceError(
                    f"{other.path} and {file.path} would both be written to {file.relative}; replay them apart"
                )
    return sorted(found.values(), key=lambda file: file.relative)


def replay(
    files: list[ReplayFile],
    scores: Path | None,
    alerts: Path | None,
    pipeline: Callable[[], Pipeline],
    report: Callable[[str], None],
    progress: Callable[[int], None],
    observer: Observer | None = None,
) -> Summary:
    """Score `files` into the folder `scores`, alerts as JSON lines into `alerts`, and both for `observer` to see.

    `pipeline` makes a fresh one for each group of files; `report` is given a line per malformed row, `progress` the
    number of bytes read. Raises SourceError, OSError.
    """
    summary = Summary()
    with ExitStack() as stack:
        alert_file = None
        if alerts:
            alerts.parent.mkdir(parents=True, exist_ok=True)
            alert_file = stack.enter_context(alerts.open("wb"))
        for start in range(0, len(files), FILES_AT_ONCE):
            group = _Group(files[start : start + FILES_AT_ONCE], scores, pipeline(), summary, report, observer)
            for step in group.run(alert_file):
                progress(step)
    return summary


class _Group:
    """Files that go through one pipeline together."""

    def __init__(
        self,
        files: list[ReplayFile],
        scores: Path | None,
        pipeline: Pipeline,
        summary: Summary,
        report: Callable[[str], None],
        observer: Observer | None,
    ) -> None:
        self.files = files
        self.scores = scores
        self.pipeline = pipeline
        self.summary = summary
        self.report = report
        self.observer = observer
        self.decoder = CsvDecoder()
        self.encode_alert = AlertRecord({}, "detector/replay")

    def run(self, alert_file: IO[bytes] | None) -> Iterator[int]:
        """Yields the bytes read, slice by slice."""
        with ExitStack() as stack:
            readers = [stack.enter_context(_Reader.open(file)) for file in self.files]
            writers = [
                stack.enter_context(_Writer.open(self.scores / file.relative)) if self.scores else None
                for file in self.files
            ]
            self.summary.files += len(readers)
            while slices := [(at, lines) for at, reader in enumerate(readers) if (lines := reader.next_lines())]:
                self._slice(slices, readers, writers, alert_file)
                yield sum(len(line) + 1 for _, lines in slices for line in lines)

    def _slice(
        self,
        slices: list[tuple[int, list[bytes]]],
        readers: list[_Reader],
        writers: list[_Writer | None],
        alert_file: IO[bytes] | None,
    ) -> None:
        index = self.pipeline.table.series(PARTITION)
        decoded = [(at, lines, self._decode(readers[at], lines, index)) for at, lines in slices]
        scored = self.pipeline.process(_merge([samples for _, _, samples in decoded]))
        first = 0
        for at, lines, samples in decoded:
            verdicts = _part(scored, first, first + len(samples))
            if writer := writers[at]:
                writer.write(lines, readers[at].line - len(lines), samples, verdicts)
            if self.observer:
                self.observer.rows(self.files[at], samples, verdicts)
            first += len(samples)
        if self.observer:
            self.observer.alerts(scored.alerts)
        self.summary.scored += int((scored.outcomes == Outcome.SCORED).sum())
        self.summary.alerts += sum(alert.status == AlertStatus.FIRING for alert in scored.alerts)
        if alert_file:
            for alert in scored.alerts:
                alert_file.write((self.encode_alert(alert).value or b"") + b"\n")

    def _decode(self, reader: _Reader, lines: list[bytes], index: SeriesIndex) -> SampleBatch:
        count, first = len(lines), reader.line - len(lines)
        batch = RawBatch(
            topic=reader.stream,
            partition=0,
            offsets=np.arange(first, first + count),
            record_times=np.full(count, np.nan),
            values=list(lines),
            keys=[None] * count,
        )
        samples = self.decoder.decode(batch, index)
        self.summary.rows += len(samples) + len(samples.rejects)
        for reject in samples.rejects:
            self.summary.malformed_rows += 1
            self.report(f"{reader.path}:{reject.offset}: {reject.reason}: {reject.detail}")
        return samples


class _Reader:
    """Lines of one file, a slice at a time. The next line to read has the number `line`, as an editor counts."""

    def __init__(self, file: ReplayFile, handle: IO[bytes]) -> None:
        self.path = file.path
        self.stream = file.stream
        self.line = 1
        self._handle = handle

    @classmethod
    def open(cls, file: ReplayFile) -> _Reader:
        try:
            return cls(file, file.path.open("rb"))
        except OSError as exc:
            raise SourceError(f"{file.path}: cannot be read: {exc.strerror}") from exc

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()

    def next_lines(self) -> list[bytes]:
        """Up to `ROWS_PER_SLICE` lines without their ends; empty at the end of the file."""
        lines = []
        for raw in self._handle:
            lines.append(raw.rstrip(b"\r\n"))
            if len(lines) == ROWS_PER_SLICE:
                break
        self.line += len(lines)
        return lines


class _Writer:
    """Verdicts of one file; the file appears under its name only when it is whole."""

    def __init__(self, path: Path, handle: IO[str]) -> None:
        self._path = path
        self._handle = handle
        self._csv = csv.writer(handle, lineterminator="\n")
        self._csv.writerow(HEADER)

    @classmethod
    def open(cls, path: Path) -> _Writer:
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path, path.with_name(path.name + ".part").open("w", encoding="utf-8", newline=""))

    def __enter__(self) -> _Writer:
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
                if not (first + at == 1 and _is_header(line)):
                    self._csv.writerow([*_text_cells(line), "", "", "", "0", ""])
                continue
            expected, lower, upper, score = verdicts[row]
            cells = [_number(expected), _number(lower), _number(upper), _number(score)]
            self._csv.writerow([*_text_cells(line), *cells, names[statuses[row]]])


def _is_header(line: bytes) -> bool:
    return not any(byte in b"0123456789" for byte in line.partition(b",")[0])


def _text_cells(line: bytes) -> list[str]:
    cells = line.decode("utf-8", "replace").split(",")
    return [cells[0], cells[1] if len(cells) > 1 else ""]


def _number(value: float) -> str:
    return "" if np.isnan(value) else repr(value)


def _merge(parts: list[SampleBatch]) -> SampleBatch:
    def joined(name: str) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        return np.concatenate([getattr(part, name) for part in parts])

    columns = ("series", "times", "values", "kinds", "outcomes", "offsets", "record_times")
    return SampleBatch(*PARTITION, **{name: joined(name) for name in columns})  # type: ignore[arg-type]


def _part(scored: ScoredBatch, first: int, end: int) -> ScoredBatch:
    names = ("outcomes", "expected", "lower", "upper", "scores", "statuses")
    return ScoredBatch(*(getattr(scored, name)[first:end] for name in names))
