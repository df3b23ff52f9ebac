"""The files of a replay: which they are, and which series are in them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from detector.errors import SourceError
from detector.replay import prometheus, wide
from detector.replay.compressed import SUFFIX as GZ
from detector.replay.compressed import opened, readable, size_bytes

CSV, JSON = ".csv", ".json"
LONGEST_NAME_BYTES = 200
"""Of a file of verdicts; file systems end at 255."""


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """A series to replay, and where its verdicts go."""

    path: Path
    below: Path
    """The file's path below the folder that was given, or its own name."""
    series: str = ""
    """Which of the series in the file; empty where the file is one series."""
    rows: bytes | None = None
    """Lines `timestamp,value`, where those of the file are others."""

    @property
    def name(self) -> str:
        """What labels and reports call it: the file, and which of the series in it."""
        return _text(f"{_stem(self.below).as_posix()}/{self.series}" if self.series else self.below.as_posix())

    @property
    def relative(self) -> Path:
        """Path of its verdicts below the folder that they are written to."""
        if self.series:
            return _stem(self.below) / f"{_file_name(self.series)}{CSV}"
        if self.rows is None and self.below.suffix.lower() != GZ:
            return self.below
        return _stem(self.below).with_name(_stem(self.below).name + CSV)

    @property
    def stream(self) -> str:
        """The stream's name: the relative path without its suffix, the same on every system."""
        return _text(self.relative.with_suffix("").as_posix())

    @property
    def shown(self) -> str:
        """The file and the series, for messages."""
        return f"{self.path}, {self.series}" if self.series else str(self.path)

    @property
    def size_bytes(self) -> int:
        """Of its lines."""
        return size_bytes(self.path) if self.rows is None else len(self.rows)

    def open(self) -> IO[bytes]:
        """Its lines. Raises SourceError."""
        return opened(self.path) if self.rows is None else io.BytesIO(self.rows)


def _silent(line: str) -> None:
    """Nobody listens."""


def find_files(inputs: list[Path], complain: Callable[[str], None] = _silent) -> list[ReplayFile]:
    """Series in the files that are named, or found below folders that are: CSV and Prometheus' JSON, `.gz` or not.

    Sorted by the path of their verdicts. `complain` is told of columns and series that are left out. Raises SourceError
    for missing, foreign or ambiguous files, and where there is no series.
    """
    found: dict[Path, ReplayFile] = {}
    for given in inputs:
        for file in _below(given, complain):
            other = found.setdefault(file.relative, file)
            if (other.path, other.series) != (file.path, file.series):
                raise SourceError(
                    f"{other.shown} and {file.shown} would both be written to {file.relative}; replay them apart"
                )
    if not found:
        raise SourceError(f"{', '.join(map(str, inputs))}: no series in it")
    return sorted(found.values(), key=lambda file: file.relative)


def demand_rows(files: list[ReplayFile], readable: int) -> None:
    """Raises SourceError where there was no row in all of the files that could be read."""
    if not readable:
        told = files[0].shown if len(files) == 1 else f"{files[0].shown} and {len(files) - 1} more"
        raise SourceError(f"{told}: no row `timestamp,value` that can be read")


def _below(given: Path, complain: Callable[[str], None]) -> Iterator[ReplayFile]:
    """The series of one input."""
    if given.is_dir():
        some = False
        for path in sorted(given.rglob("*")):
            if _is_series_file(path):
                for file in _series(path, path.relative_to(given), complain, walked=True):
                    some = True
                    yield file
        if not some:
            raise SourceError(
                f"{given}: no .csv file in this folder or below it, and no .json file that Prometheus wrote"
            )
    elif given.is_file():
        yield from _series(given, Path(given.name), complain, walked=False)
    elif given.exists() or given == Path("-"):
        raise SourceError(f"{given}: is neither a file nor a folder; write what comes from there into a file first")
    else:
        raise SourceError(f"{given}: no such file or folder")


def _is_series_file(path: Path) -> bool:
    inner = path.with_suffix("") if path.suffix.lower() == GZ else path
    return inner.suffix.lower() in (CSV, JSON) and path.is_file()


def _series(path: Path, below: Path, complain: Callable[[str], None], *, walked: bool) -> Iterator[ReplayFile]:
    """The series in one file. Of a folder that is walked, JSON files that hold something else are passed over."""

    def tell(line: str) -> None:
        complain(f"{path}: {line}")

    try:
        with readable(path), opened(path) as handle:
            is_json = prometheus.is_json(handle.peek(LONGEST_NAME_BYTES))
            found = prometheus.series(handle.read(), tell) if is_json else wide.series(handle, tell)
    except ValueError as exc:
        raise SourceError(f"{path}: {exc}") from exc
    if found is not None:
        yield from (ReplayFile(path, below, name, rows) for name, rows in found.items())
    elif not is_json:
        yield ReplayFile(path, below)
    elif not walked:
        raise SourceError(f"{path}: {prometheus.EXPECTED}")


def _text(name: str) -> str:
    """A file's name as text that can be written: bytes that are not UTF-8 in hexadecimal, in any locale."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _stem(path: Path) -> Path:
    """Without the suffixes that say how the file is written."""
    for suffix in (GZ, CSV, JSON):
        if path.suffix.lower() == suffix and path.stem:
            path = path.with_suffix("")
    return path


def _file_name(series: str) -> str:
    """A name that every file system takes, another one for another series."""
    name = "".join("_" if letter in "/\\" or not letter.isprintable() else letter for letter in series)
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME_BYTES:
        return name
    digest = hashlib.blake2b(os.fsencode(series), digest_size=6).hexdigest()
    return f"{raw[: LONGEST_NAME_BYTES - 13].decode(errors='ignore')}-{digest}"
