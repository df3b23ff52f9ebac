"""The state in any store as one file, to keep or to move to another store.

A tar file: each blob of the intact snapshots, byte for byte, as `topic=TOPIC/PARTITION/NAME`, followed by `index.json`
with the SHA-256 of each. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from detector.errors import StateDamaged, StateMissing, StateNewer, StateUnavailable
from detector.protocols import Stored
from detector.records import Partition
from detector.state.manifest import is_name
from detector.state.survey import Survey, intact_names, survey

FORMAT = 1
_INDEX = "index.json"


class Entry(msgspec.Struct, frozen=True):
    """A blob in the archive."""

    topic: str
    partition: int
    name: str
    written_at: float
    sha256: str

    @property
    def path(self) -> str:
        """Its name in the tar file."""
        return f"topic={quote(self.topic, safe='')}/{self.partition}/{self.name}"


class Index(msgspec.Struct, frozen=True):
    """What an archive holds."""

    format: int
    group: str
    """The consumer group whose state it was."""
    entries: list[Entry]


def export(stored: Iterable[Stored], group: str, path: Path) -> list[Survey]:
    """Write every intact snapshot of every partition to `path`, which appears or is replaced only when complete.

    Raises StateMissing if there are none, StateDamaged if a partition has snapshots but none is intact,
    StateUnavailable if the archive cannot be written.
    """
    part = path.with_name(path.name + ".part")
    found, entries = [], []
    try:
        with part.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                for one in stored:
                    found.append(_require_intact(one))
                    entries += list(_add_all(archive, one, found[-1]))
                if not entries:
                    raise StateMissing(f"nothing is stored for group {group}, so there is nothing to export")
                _add(archive, _INDEX, msgspec.json.encode(Index(FORMAT, group, entries)), 0.0)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as exc:
        raise StateUnavailable(f"{path}: the archive cannot be written ({exc.strerror})") from exc
    finally:
        part.unlink(missing_ok=True)
    return found


@contextmanager
def opened(path: Path) -> Iterator[tuple[Index, list[Stored]]]:
    """The partitions of an archive, after every byte was checked. Raises StateDamaged, StateNewer, StateUnavailable."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            index = _index(archive, path)
            for entry in index.entries:
                if hashlib.sha256(_read(archive, entry.path)).hexdigest() != entry.sha256:
                    raise StateDamaged(f"{path}: {entry.path} does not match its checksum")
            yield index, list(_partitions(archive, index))
    except OSError as exc:
        raise StateUnavailable(f"{path} cannot be read ({exc.strerror})") from exc
    except tarfile.TarError as exc:
        raise StateDamaged(f"{path} is not a complete archive of state ({exc})") from exc


def _require_intact(stored: Stored) -> Survey:
    found = survey(stored)
    if found.snapshots and found.newest_intact is None:
        raise StateDamaged(f"{found.topic}/{found.partition}: none of its {len(found.snapshots)} snapshots is intact")
    return found


def _add_all(archive: tarfile.TarFile, stored: Stored, found: Survey) -> Iterator[Entry]:
    for name in sorted(intact_names(stored, found)):
        blob, written_at = stored.blobs[name], stored.written_at[name]
        entry = Entry(*stored.partition, name, written_at, hashlib.sha256(blob).hexdigest())
        _add(archive, entry.path, blob, written_at)
        yield entry


def _add(archive: tarfile.TarFile, name: str, blob: bytes, written_at: float) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(blob), int(written_at), 0o600
    archive.addfile(member, io.BytesIO(blob))


def _index(archive: tarfile.TarFile, path: Path) -> Index:
    try:
        index = msgspec.json.decode(_read(archive, _INDEX), type=Index)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise StateDamaged(f"{path}: its index is not valid ({exc})") from exc
    if index.format > FORMAT:
        raise StateNewer(f"{path}: archive format {index.format}, this version reads up to {FORMAT}")
    odd = [entry.name for entry in index.entries if not is_name(entry.name) or entry.partition < 0]
    if odd or len({entry.path for entry in index.entries}) != len(index.entries):
        raise StateDamaged(f"{path}: its index has entries that cannot be state")
    return index


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    try:
        member = archive.getmember(name)
    except KeyError:
        member = None
    file = archive.extractfile(member) if member is not None and member.isreg() else None  # not where a link leads
    if file is None:
        raise StateDamaged(f"{archive.name!s}: {name} is missing")
    return file.read()


def _partitions(archive: tarfile.TarFile, index: Index) -> Iterator[Stored]:
    by_partition: dict[Partition, list[Entry]] = {}
    for entry in index.entries:
        by_partition.setdefault((entry.topic, entry.partition), []).append(entry)
    for partition in sorted(by_partition):
        entries = by_partition[partition]
        written_at = {entry.name: entry.written_at for entry in entries}
        yield Stored(partition, _Members(archive, {entry.name: entry.path for entry in entries}), written_at)


class _Members(Mapping[str, bytes]):
    """Blobs of one partition, each read on access."""

    def __init__(self, archive: tarfile.TarFile, paths: dict[str, str]) -> None:
        self._archive = archive
        self._paths = paths

    def __getitem__(self, name: str) -> bytes:
        return _read(self._archive, self._paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)
