"""Runs all files through the pipeline together, a slice of each at a time: a round holds a sample of every file."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from detector.alerts import AlertRecord
from detector.decoders import CsvDecoder
from detector.errors import SourceError
from detector.pipeline import Pipeline
from detector.records import Alert, AlertStatus, Outcome, RawBatch, SampleBatch, ScoredBatch, Uint8
from detector.replay.files import ReplayFile
from detector.replay.output import whole, writing
from detector.replay.reader import MALFORMED_SHOWN, Reader
from detector.replay.summary import Summary
from detector.replay.verdicts import VerdictWriter
from detector.series import SeriesIndex

SERIES_AT_ONCE = 1024
SPARE_FILES = 64
"""Of the open files that the system allows a process, those reserved for anything but series and verdicts."""
PARTITION = ("replay", 0)


class Observer(Protocol):
    """Receives verdicts as columns, slice by slice: first the rows of all files, then their alerts."""

    def rows(self, file: ReplayFile, samples: SampleBatch, scored: ScoredBatch) -> None:
        """The decoded samples of one file's slice, and their verdicts, aligned."""

    def alerts(self, alerts: tuple[Alert, ...]) -> None:
        """Alerts that began or ended in the slices; `ReplayFile.stream` is the name of their series."""


def replay(
    files: list[ReplayFile],
    scores: Path | None,
    alerts: Path | None,
    pipeline: Callable[[], Pipeline],
    report: Callable[[str], None],
    progress: Callable[[int], None],
    observer: Observer | None = None,
) -> Summary:
    """Score `files`: verdicts to the folder `scores`, alerts as JSON lines to `alerts`, and both to `observer`.

    `pipeline` makes a new pipeline for each group of files. `report` receives a line for each of a file's first
    malformed rows and one for the rest, `progress` the number of bytes read. Raises SourceError.
    """
    _keep_inputs(files, scores, alerts)
    summary = Summary()
    with ExitStack() as stack:
        alert_file = None
        if alerts:
            alert_file = stack.enter_context(whole(alerts))
        at_once = _at_once(2 if scores else 1)
        for start in range(0, len(files), at_once):
            group = _Group(files[start : start + at_once], scores, pipeline(), summary, report, observer)
            for step in group.run(alert_file):
                progress(step)
    return summary


def _at_once(files_each: int) -> int:
    """How many series go through the pipeline together if each needs `files_each` open files."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return SERIES_AT_ONCE
    return max(1, min(SERIES_AT_ONCE, (most - SPARE_FILES) // files_each))


def _keep_inputs(files: list[ReplayFile], scores: Path | None, alerts: Path | None) -> None:
    """Raise SourceError if an output would overwrite an input."""
    inputs = {file.path.resolve() for file in files}
    outputs = [scores / file.relative for file in files] if scores else []
    for output in [*outputs, alerts] if alerts else outputs:
        if output.resolve() in inputs:
            raise SourceError(f"{output} is an input and would be overwritten; write somewhere else")


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
            readers = [stack.enter_context(Reader.open(file)) for file in self.files]
            writers = [
                stack.enter_context(VerdictWriter.open(self.scores / file.relative)) if self.scores else None
                for file in self.files
            ]
            self.summary.files += len(readers)
            while slices := [(at, lines) for at, reader in enumerate(readers) if (lines := reader.next_lines())]:
                self._slice(slices, readers, writers, alert_file)
                yield sum(len(line) + 1 for _, lines in slices for line in lines)
            for reader in readers:
                for line in reader.remarks():
                    self.report(line)

    def _slice(
        self,
        slices: list[tuple[int, list[bytes]]],
        readers: list[Reader],
        writers: list[VerdictWriter | None],
        alert_file: IO[bytes] | None,
    ) -> None:
        index = self.pipeline.table.series(PARTITION)
        decoded = [(at, lines, self._decode(readers[at], lines, index)) for at, lines in slices]
        scored = self.pipeline.process(_merge([samples for _, _, samples in decoded]))
        first = 0
        for at, lines, samples in decoded:
            verdicts = _part(scored, first, first + len(samples))
            counts = _counted(verdicts.outcomes)
            readers[at].outcomes += counts
            readers[at].newest = max(readers[at].newest, float(np.max(samples.times, initial=-np.inf)))
            self.summary.outcomes += counts
            if writer := writers[at]:
                writer.write(lines, readers[at].line - len(lines), samples, verdicts)
            if self.observer:
                self.observer.rows(self.files[at], samples, verdicts)
            first += len(samples)
        if self.observer:
            self.observer.alerts(scored.alerts)
        self.summary.alerts += sum(alert.status == AlertStatus.FIRING for alert in scored.alerts)
        if alert_file:
            with writing(Path(alert_file.name)):
                alert_file.writelines((self.encode_alert(alert).value or b"") + b"\n" for alert in scored.alerts)

    def _decode(self, reader: Reader, lines: list[bytes], index: SeriesIndex) -> SampleBatch:
        count, first = len(lines), reader.line - len(lines)
        batch = RawBatch(
            topic=reader.file.stream,
            partition=0,
            offsets=np.arange(first, first + count),
            record_times=np.full(count, np.nan),
            values=list(lines),
            keys=[None] * count,
        )
        samples = self.decoder.decode(batch, index)
        self.summary.rows += len(samples) + len(samples.rejects)
        for reject in samples.rejects[: max(0, MALFORMED_SHOWN - reader.malformed)]:
            self.report(f"{reader.place(reject.offset)}: {reject.reason}: {reject.detail}")
        reader.malformed += len(samples.rejects)
        self.summary.malformed_rows += len(samples.rejects)
        return samples


def _counted(outcomes: Uint8) -> Counter[Outcome]:
    return Counter({Outcome(at): count for at, count in enumerate(np.bincount(outcomes).tolist()) if count})


def _merge(parts: list[SampleBatch]) -> SampleBatch:
    def joined(name: str) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        return np.concatenate([getattr(part, name) for part in parts])

    columns = ("series", "times", "values", "kinds", "outcomes", "offsets", "record_times")
    return SampleBatch(*PARTITION, **{name: joined(name) for name in columns})  # type: ignore[arg-type]


def _part(scored: ScoredBatch, first: int, end: int) -> ScoredBatch:
    names = ("outcomes", "expected", "lower", "upper", "scores", "statuses")
    return ScoredBatch(*(getattr(scored, name)[first:end] for name in names))
