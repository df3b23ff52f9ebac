"""State on the local disk: a folder per partition, a file per blob.

A file appears under its name only when it is complete and on disk: it is written under another name, synced and
renamed, then the folder is synced. A separate thread writes, so that the processing loop does not wait for the disk.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from detector.errors import StateDamaged, StateUnavailable
from detector.protocols import Stored
from detector.records import Partition
from detector.state.manifest import is_name, manifest_offset
from detector.state.steps import Steps
from detector.state.weights import is_weights_name

_MAX_IN_FLIGHT = 32
_STALE_SECONDS = 3_600.0
_SUFFIX = ".part"
_TOPIC = "topic="


class DirectoryStore:
    """Blobs below `root`, which several consumer groups and workers may share.

    Raises StateUnavailable if nothing can be written there.
    """

    def __init__(self, root: Path, group: str) -> None:
        self._root = group_folder(root, group)
        self._unsynced: set[Path] = set()
        """Folders with new files; only the writer thread changes it."""
        self._in_flight: deque[Future[None]] = deque()
        self._deletions: deque[Future[None]] = deque()
        self._unnamed: list[Path] = []
        """New blocks since the last manifest; the writer thread's until `close`."""
        self._full = False
        """A blob could not be written."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self._root / f"probe-{os.getpid()}{_SUFFIX}"
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)  # a process in another container may have the same pid
        except OSError as exc:
            raise StateUnavailable(
                f"state.directory.path: {self._root} cannot be written ({exc.strerror}); name a folder of this user's, "
                "or choose another state.type"
            ) from exc
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="state")

    def opening(self, partition: Partition) -> Steps[Mapping[str, bytes]]:
        yield
        folder = self.folder(partition)
        files = _files(folder)
        for file in files:
            with suppress(OSError):  # gone: another worker does the same cleanup
                if file.suffix == _SUFFIX and time.time() - file.stat().st_mtime > _STALE_SECONDS:
                    file.unlink()  # left by a writer that was killed
        return _Folder(folder, [file.name for file in files if is_name(file.name)])

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        if len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._settle(self._in_flight.popleft(), None)
        self._in_flight.append(self._writer.submit(self._write, self.folder(partition), name, blob))

    def delete(self, partition: Partition, names: Collection[str]) -> None:
        folder = self.folder(partition)
        self._deletions.append(self._writer.submit(_delete, [folder / name for name in names]))

    @property
    def in_flight(self) -> int:
        while self._in_flight and self._in_flight[0].done():
            self._settle(self._in_flight.popleft(), 0.0)
        if self._unsynced and not self._in_flight:
            self._in_flight.append(self._writer.submit(self._sync_folders))
        return len(self._in_flight)

    def flush(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        self._in_flight.append(self._writer.submit(self._sync_folders))
        for waiting in (self._in_flight, self._deletions):
            while waiting:
                self._settle(waiting.popleft(), max(0.0, deadline - time.monotonic()))

    def close(self, timeout_seconds: float) -> None:
        """Wait for deletions: nobody else may make them for long, and the next checkpoint needs their space.

        If a blob could not be written, also delete its checkpoint's new blocks, which no manifest will ever name: on a
        full disk, the next worker may need their space.
        """
        wait(self._deletions, timeout_seconds)
        self._writer.shutdown(wait=True, cancel_futures=True)
        self._in_flight.clear()
        self._deletions.clear()
        while self._full and self._unnamed:
            with suppress(OSError):
                self._unnamed.pop().unlink(missing_ok=True)

    def folder(self, partition: Partition) -> Path:
        """The folder of a partition's blobs."""
        return partition_folder(self._root, partition)

    def _write(self, folder: Path, name: str, blob: bytes) -> None:
        part, place = folder / (name + _SUFFIX), folder / name
        is_manifest = manifest_offset(name) is not None
        if is_manifest:
            self._unnamed.clear()
        is_new_block = not is_manifest and not is_weights_name(name) and not place.exists()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            part.rename(place)
        except OSError:
            self._full = True
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if is_new_block:
            self._unnamed.append(place)
        self._unsynced.add(folder)

    def _sync_folders(self) -> None:
        while self._unsynced:
            _sync_folder(self._unsynced.pop())

    def _settle(self, future: Future[None], timeout_seconds: float | None) -> None:
        try:
            future.result(timeout_seconds)
        except FutureTimeoutError as exc:
            raise StateUnavailable(f"{self._root}: the disk did not take the state in time") from exc
        except OSError as exc:
            raise StateUnavailable(
                f"{exc.filename or self._root}: the state cannot be written ({exc.strerror})"
            ) from exc


class DirectoryReader:
    """Reads the same files, and writes nothing. Raises StateUnavailable if they cannot be read."""

    def __init__(self, root: Path, group: str) -> None:
        self._root = group_folder(root, group)

    def partitions(self) -> Iterator[Stored]:
        for topic in _files(self._root):
            if not topic.name.startswith(_TOPIC):
                continue
            for folder in sorted(_files(topic), key=lambda file: (len(file.name), file.name)):
                if folder.name.isdecimal():
                    yield self.open((unquote(topic.name.removeprefix(_TOPIC)), int(folder.name)))

    def open(self, partition: Partition) -> Stored:
        folder = partition_folder(self._root, partition)
        written_at: dict[str, float] = {}
        for file in _files(folder):
            with suppress(FileNotFoundError):  # a worker deletes what it no longer needs
                if is_name(file.name):
                    written_at[file.name] = file.stat().st_mtime
        return Stored(partition, _Folder(folder, list(written_at)), written_at)

    def close(self, timeout_seconds: float) -> None:
        """Nothing to close."""


def group_folder(root: Path, group: str) -> Path:
    """The folder of everything that belongs to a consumer group."""
    return root / f"group={quote(group, safe='')}"


def partition_folder(group: Path, partition: Partition) -> Path:
    """The folder of a partition's blobs within its group's folder."""
    topic, number = partition
    return group / f"{_TOPIC}{quote(topic, safe='')}" / str(number)


def _files(folder: Path) -> list[Path]:
    """What is in the folder, sorted by name; nothing if it does not exist."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise StateUnavailable(f"{folder} cannot be read ({exc.strerror})") from exc


class _Folder(Mapping[str, bytes]):
    """Files of a folder, each read on access."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder = folder
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        try:
            return _content(self._folder / name)
        except OSError as exc:
            raise StateDamaged(f"{self._folder / name} cannot be read ({exc.strerror})") from exc

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _content(file: Path) -> bytes:
    """Raises OSError, also for what is no file: a pipe would keep the reader waiting, a device has no end."""
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return opened.read()


def _delete(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Sync the folder, and the two above it, which may be new."""
    for entry in (folder, folder.parent, folder.parent.parent):
        try:
            descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise StateUnavailable(f"{entry}: the state cannot be written ({exc.strerror})") from exc
