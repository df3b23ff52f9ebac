"""A store with slow reads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping

from detector.protocols import StateStore
from detector.records import Partition


class SlowBlobs(Mapping[str, bytes]):
    """Blobs that call `read` before each look-up."""

    def __init__(self, blobs: Mapping[str, bytes], read: Callable[[], None]) -> None:
        self._blobs = blobs
        self._read = read

    def __getitem__(self, name: str) -> bytes:
        self._read()
        return self._blobs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)


def slow(store: StateStore, read: Callable[[], None]) -> StateStore:
    """The store, changed so that every read of a blob is slow."""
    opening = store.opening

    def slowly(partition: Partition) -> Generator[None, None, Mapping[str, bytes]]:
        return SlowBlobs((yield from opening(partition)), read)

    store.opening = slowly  # type: ignore[method-assign]
    return store
