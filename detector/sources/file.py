"""Lines of files as records: one partition per file, the topic is the file's name, offsets are line numbers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from detector.config.values import STDIN
from detector.errors import SourceError
from detector.protocols import AssignmentChanges, Clock, SkippedRange
from detector.records import UNKNOWN_LINEAGE, Lineage, Partition, RawBatch
from detector.sources.lines import FileTape, Lines, StdinTape

LINES_PER_POLL = 16_384
OPEN_FILES = 256
FOLLOW_SECONDS = 0.25
"""How often a followed file is checked."""

_JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES: dict[str, tuple[str, ...]] = {
    "csv": (".csv",),
    "json": _JSON,
    "avro": (),
    "telegraf": _JSON,
    "collectd": _JSON,
    "otlp": _JSON,
    "vector": _JSON,
    "metricbeat": _JSON,
    "influx": (".influx", ".lp"),
    "remote_write": (),
    "routed": (),
}
"""Decoder -> suffixes of the files to read in a folder; none if its records are not lines."""

_USUAL_LINE_BYTES = 32


class FileSource:
    """Reads many files side by side, a few lines of each per poll, so that their streams advance together.

    `paths` are files, folders (walked in sorted order for files that end in one of `suffixes`), or `-` for standard
    input. A file's topic is its path below the given folder, or its name if the file itself is given, without the
    suffix. Nothing is ever committed: a new run reads from the first line. Raises SourceError for files that are
    missing, unreadable, or of the same name.
    """

    def __init__(
        self,
        paths: Sequence[str],
        clock: Clock,
        *,
        suffixes: tuple[str, ...],
        follow: bool = False,
        lines_per_poll: int = LINES_PER_POLL,
    ) -> None:
        self.files = find_files(paths, suffixes)
        """Partition -> path, `-` for standard input; in reading order."""
        self._clock = clock
        self._follow = follow
        self._lines_per_poll = lines_per_poll
        self._sizes = {partition: _size(path) for partition, path in self.files.items()}
        self._waiting = deque(self.files)
        self._open: dict[Partition, Lines] = {}
        self._resumed: set[Partition] = set()
        self._unannounced = frozenset(self.files)
        self._read_bytes = 0
        self._read_lines = 0

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        batches = self._collect()
        if batches or self.exhausted or timeout_seconds <= 0:
            return batches
        self._wait(timeout_seconds)
        return self._collect()

    def changes(self) -> AssignmentChanges:
        assigned, self._unannounced = self._unannounced, frozenset()
        return AssignmentChanges(assigned=assigned, settled=bool(assigned))

    def skipped(self) -> list[SkippedRange]:
        return []

    def resume(self, partitions: frozenset[Partition]) -> None:
        self._resumed |= partitions & self.files.keys()

    def seek(self, partition: Partition, offset: int, lineage: Lineage = UNKNOWN_LINEAGE) -> None:
        """Continue with line `offset`. Standard input can only move forward."""
        lines = self._open.get(partition)
        if lines is None or offset < lines.next_number:
            if self.files[partition] == STDIN and partition not in self._waiting:
                raise SourceError("standard input cannot be read from an earlier line")
            if lines is not None:
                lines.tape.close()
            if partition in self._waiting:
                self._waiting.remove(partition)
            lines = self._open[partition] = self._lines(partition)
        lines.skip_to(offset)

    def lineage(self, partition: Partition) -> Lineage:
        return UNKNOWN_LINEAGE

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Nothing to do: a file keeps no position."""

    def lag(self) -> Mapping[Partition, int]:
        """Lines left, estimated from the bytes left."""
        line_bytes = max(1.0, self._read_bytes / self._read_lines) if self._read_lines else _USUAL_LINE_BYTES
        unopened = {partition: int(self._sizes[partition] / line_bytes) for partition in self._waiting}
        return unopened | {
            partition: lines.waiting + int(lines.tape.remaining_bytes() / line_bytes)
            for partition, lines in self._open.items()
        }

    def ends(self) -> Mapping[Partition, int]:
        """Estimated, like `lag`."""
        return {
            partition: left + (self._open[partition].next_number if partition in self._open else 0)
            for partition, left in self.lag().items()
        }

    @property
    def progress(self) -> tuple[int, int]:
        """Bytes read, and bytes that the files had when the source was created."""
        return self._read_bytes, sum(self._sizes.values())

    @property
    def exhausted(self) -> bool:
        return not self._waiting and not self._open

    def close(self, timeout_seconds: float) -> None:
        self._waiting.clear()
        for lines in self._open.values():
            lines.tape.close()
        self._open.clear()

    def _collect(self) -> list[RawBatch]:
        """Lines of every file that is open and resumed; if all of these have ended, of files not opened yet."""
        batches: list[RawBatch] = []
        left = -1
        while not batches and left != len(self._open) + len(self._waiting):
            left = len(self._open) + len(self._waiting)
            self._open_more()
            batches = self._take()
        return batches

    def _take(self) -> list[RawBatch]:
        ready = [partition for partition in self._open if partition in self._resumed]
        share = max(1, self._lines_per_poll // max(1, len(ready)))
        batches = []
        for partition in ready:
            lines = self._open[partition]
            numbers, values = lines.take(share)
            if values:
                batches.append(_batch(partition, numbers, values))
                self._read_lines += len(values)
                self._read_bytes += sum(map(len, values)) + len(values)
            if lines.ended:
                lines.tape.close()
                del self._open[partition]
        return batches

    def _open_more(self) -> None:
        for _ in range(len(self._waiting)):
            if len(self._open) >= OPEN_FILES and not self._follow:
                return
            partition = self._waiting.popleft()
            if partition in self._resumed:
                self._open[partition] = self._lines(partition)
            else:
                self._waiting.append(partition)

    def _lines(self, partition: Partition) -> Lines:
        path = self.files[partition]
        return Lines(StdinTape() if path == STDIN else FileTape(Path(path), self._follow))

    def _wait(self, timeout_seconds: float) -> None:
        seconds = min(timeout_seconds, FOLLOW_SECONDS) if self._follow or len(self._open) != 1 else timeout_seconds
        for partition, lines in self._open.items():
            if self.files[partition] == STDIN and partition in self._resumed:
                lines.tape.wait(seconds)
                return
        self._clock.sleep(seconds)


def find_files(paths: Iterable[str], suffixes: tuple[str, ...]) -> dict[Partition, str]:
    """Partition -> path of every file, with folders walked. Raises SourceError with all faults at once."""
    found: dict[Partition, str] = {}
    faults: list[str] = []
    for given in paths:
        named = _named(given, suffixes)
        if not named:
            path = Path(given)
            missing = f"holds no {' or '.join(suffixes) or 'usable'} file" if path.is_dir() else "no such file"
            faults.append(f"{path}: {missing}")
        for name, file in named:
            partition = (name, 0)
            if partition in found:
                faults.append(f"{found[partition]} and {file} would both be called {name}")
            found[partition] = file
    unreadable = (path for path in found.values() if path != STDIN and not os.access(path, os.R_OK))
    faults += [f"{path}: not readable by this user" for path in unreadable]
    if faults:
        raise SourceError("; ".join(faults))
    return found


def _named(given: str, suffixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """(name, path) of each file that `given` stands for."""
    path = Path(given)
    if given == STDIN:
        return [("stdin", STDIN)]
    if path.is_dir():
        inside = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        return [
            (_without_suffix(file.relative_to(path), suffixes), str(file))
            for file in sorted(inside)
            if file.suffix.lower() in suffixes and file.is_file()
        ]
    return [(_without_suffix(Path(path.name), suffixes), given)] if path.exists() else []


def _without_suffix(path: Path, suffixes: tuple[str, ...]) -> str:
    return (path.with_suffix("") if path.suffix.lower() in suffixes else path).as_posix()


def _size(path: str) -> int:
    return 0 if path == STDIN else os.stat(path).st_size


def _batch(partition: Partition, numbers: list[int], values: list[bytes]) -> RawBatch:
    return RawBatch(
        topic=partition[0],
        partition=partition[1],
        offsets=np.array(numbers, dtype=np.int64),
        record_times=np.full(len(values), np.nan),
        values=list(values),
        keys=[None] * len(values),
    )
