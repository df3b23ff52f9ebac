"""Finds the files of a replay and the series in them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from detector.errors import SourceError
from detector.replay import prometheus, recorded, table
from detector.replay.compressed import SUFFIX as GZ
from detector.replay.compressed import opened, readable, size_bytes

CSV, JSON = ".csv", ".json"
RECORDS = (".jsonl", ".ndjson")
PLAIN = recorded.RecordFormat()
LONGEST_NAME_BYTES = 200
"""Longest name of a file of verdicts; file systems allow 255 bytes."""


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """A series to replay, and where its verdicts go."""

    path: Path
    below: Path
    """The file's path below the folder that was given, or its own name."""
    series: str = ""
    """Which of the series in the file; empty if it is the only one and needs no other name than the file's."""
    rows: bytes | None = None
    """Lines `timestamp,value`; None if those of the file itself are such lines."""
    hashed: bool = False
    """Whether the name of its verdicts ends in a hash, because another series of the file would have the same name."""

    @property
    def name(self) -> str:
        """Its name in labels and reports: the file and, if there are several, the series in it."""
        return _text(f"{_stem(self.below).as_posix()}/{self.series}" if self.series else self.below.as_posix())

    @property
    def relative(self) -> Path:
        """Path of its verdicts below the output folder."""
        if self.series:
            return _stem(self.below) / f"{_file_name(self.series, hashed=self.hashed)}{CSV}"
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
        """Size of its lines."""
        return size_bytes(self.path) if self.rows is None else len(self.rows)

    def open(self) -> IO[bytes]:
        """Its lines. Raises SourceError."""
        return opened(self.path) if self.rows is None else io.BytesIO(self.rows)


def unsaid(line: str) -> None:
    """Ignore a complaint."""


def find_files(
    inputs: list[Path], complain: Callable[[str], None] = unsaid, records: recorded.RecordFormat = PLAIN
) -> list[ReplayFile]:
    """Series in the given files, or in files below the given folders: CSV, Prometheus' JSON, `records`; gzip or not.

    Sorted by the path of their verdicts. Columns and series that are left out are reported to `complain`. Raises
    SourceError for missing, foreign or ambiguous files, and if there is no series.
    """
    found: dict[str, ReplayFile] = {}
    for given in inputs:
        for file in _below(given, complain, records):
            other = found.setdefault(file.stream, file)
            if other.path == file.path and other.series != file.series:
                file = replace(file, hashed=True)
                other = found.setdefault(file.stream, file)
            if (other.path, other.series) != (file.path, file.series):
                raise SourceError(
                    f"{other.shown} and {file.shown} would both be called {file.stream}; rename one of them, or replay "
                    "them separately"
                )
    if not found:
        raise SourceError(f"{', '.join(map(str, inputs))}: no series found")
    return sorted(found.values(), key=lambda file: file.relative)


def demand_rows(files: list[ReplayFile], readable: int) -> None:
    """Raise SourceError if none of the files has a readable row."""
    if not readable:
        named = files[0].shown if len(files) == 1 else f"{files[0].shown} and {len(files) - 1} more"
        raise SourceError(f"{named}: no readable row `timestamp,value`")


def _below(given: Path, complain: Callable[[str], None], records: recorded.RecordFormat) -> Iterator[ReplayFile]:
    """The series of one input."""
    try:
        paths = sorted(_files(given, complain)) if given.is_dir() else None
        is_file, exists = given.is_file(), given.exists()
    except OSError as exc:
        raise SourceError(f"{exc.filename}: cannot be read: {exc.strerror}") from exc
    if paths is not None:
        some = False
        for path in paths:
            for file in _series(path, path.relative_to(given), complain, records, walked=True):
                some = True
                yield file
        if not some:
            raise SourceError(
                f"{given}: no .csv file in this folder or below it, no .jsonl file, "
                "and no .json result of a Prometheus query"
            )
    elif is_file:
        yield from _series(given, Path(given.name), complain, records, walked=False)
    elif exists or given == Path("-"):
        raise SourceError(f"{given}: is neither a file nor a folder; save its content to a file first")
    else:
        raise SourceError(f"{given}: no such file or folder")


def _files(folder: Path, complain: Callable[[str], None]) -> Iterator[Path]:
    """Files of series in the folder and below it. Folders that cannot be read are reported to `complain`."""

    def remark(error: OSError) -> None:
        complain(f"{error.filename}: left out: cannot be read: {error.strerror}")

    for inside, _, names in os.walk(folder, onerror=remark):
        yield from (path for name in names if _is_series_file(path := Path(inside, name)))


def _is_series_file(path: Path) -> bool:
    return _inner(path).suffix.lower() in (CSV, JSON, *RECORDS) and path.is_file()


def _inner(path: Path) -> Path:
    """The path without the suffix for compression."""
    return path.with_suffix("") if path.suffix.lower() == GZ else path


def _series(
    path: Path, below: Path, complain: Callable[[str], None], records: recorded.RecordFormat, *, walked: bool
) -> Iterator[ReplayFile]:
    """The series in one file. JSON files of another kind are passed over if found in a folder (`walked`)."""

    def remark(line: str) -> None:
        complain(f"{path}: {line}")

    try:
        with readable(path), opened(path) as handle:
            is_json = prometheus.is_json(handle.peek(LONGEST_NAME_BYTES))
            if walked and not is_json and _inner(path).suffix.lower() == JSON:
                return
            if is_json and recorded.is_recorded(handle):
                found: dict[str, bytes] | None = recorded.series(handle, records, remark)
            else:
                found = prometheus.series(handle.read(), remark) if is_json else table.series(handle, remark)
    except (prometheus.NotJsonError, recorded.NoRecordError) as exc:
        if not walked:
            raise SourceError(f"{path}: {exc}") from exc
        remark(f"left out: {exc}")
        return
    except ValueError as exc:
        raise SourceError(f"{path}: {exc}") from exc
    if found is not None:
        yield from (ReplayFile(path, below, name, rows) for name, rows in found.items())
    elif not is_json:
        yield ReplayFile(path, below)
    elif not walked:
        raise SourceError(f"{path}: {prometheus.EXPECTED}")


def _text(name: str) -> str:
    """A file's name as text that can be written in any locale: bytes that are not UTF-8 become hexadecimal."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _stem(path: Path) -> Path:
    """The path without the suffixes for format and compression."""
    for suffix in (GZ, CSV, JSON, *RECORDS):
        if path.suffix.lower() == suffix and path.stem:
            path = path.with_suffix("")
    return path


def _file_name(series: str, *, hashed: bool) -> str:
    """A name that every file system accepts; long names are cut and stay distinct by a hash, as `hashed` ones do."""
    name = "".join("_" if letter in "/\\" or not letter.isprintable() else letter for letter in series)
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME_BYTES and not hashed:
        return name
    digest = hashlib.blake2b(os.fsencode(series), digest_size=6).hexdigest()
    return f"{raw[: LONGEST_NAME_BYTES - 13].decode(errors='ignore')}-{digest}"
