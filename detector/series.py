"""Identity of a stream: canonical labels, a 128-bit fingerprint, and dense handles for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

NAME_LABEL = "__name__"
GROUP_LABEL = "__group__"
"""Of a group's own key: the names of the labels that its members share."""
KIND_BITS = 2
"""Of a tag, which holds what a decoder wants to know of a series: its handle and the kind of its values."""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A stream's labels, sorted by name, the metric's name under `__name__` (Prometheus' convention)."""

    labels: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str] | None = None) -> SeriesKey:
        """Key of metric `name` with `labels`; a label without a value is no label.

        >>> str(SeriesKey.of("cpu", {"host": "a", "core": ""}))
        'cpu{host="a"}'
        """
        pairs = {k: v for k, v in (labels or {}).items() if v != ""}
        if name:
            pairs[NAME_LABEL] = name
        return cls(tuple(sorted(pairs.items())))

    @property
    def name(self) -> str:
        """The metric's name, empty when it has none."""
        return dict(self.labels).get(NAME_LABEL, "")

    @property
    def is_group(self) -> bool:
        """Whether this names a group of streams."""
        return any(name == GROUP_LABEL for name, _ in self.labels)

    @property
    def characters(self) -> int:
        """In names and values of all labels: what of a key may be long."""
        return len("".join(chain.from_iterable(self.labels)))

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits: BLAKE2b-128 over the length-prefixed labels, so quoting cannot make two collide."""
        digest = hashlib.blake2b(digest_size=16)
        for pair in self.labels:
            for part in pair:
                raw = part.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(4, "little"))
                digest.update(raw)
        return digest.hexdigest()

    def __str__(self) -> str:
        inner = ",".join(f'{k}="{_escape(v)}"' for k, v in self.labels if k != NAME_LABEL)
        return f"{self.name}{{{inner}}}" if inner or not self.name else self.name


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class SeriesIndex:
    """Dense integer handles for the series keys of one partition, so that samples travel as columns.

    Handles are a matter of one process and of arrival order; nothing durable refers to them. Decoders map the raw bytes
    of a series to its tag, `handle << KIND_BITS | kind`, through `by_raw`, which they may fill and clear at will;
    `retain` is the only thing that takes handles back, and is called between batches when none is in flight.
    """

    def __init__(self) -> None:
        self.by_raw: dict[object, int] = {}
        self.raw_bytes = 0
        """What the spellings take at most, as counted by who fills `by_raw`."""
        self.characters = 0
        """Of all keys."""
        self._by_key: dict[SeriesKey, int] = {}
        self._keys: list[SeriesKey | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def capacity(self) -> int:
        """One more than the largest handle ever given out."""
        return len(self._keys)

    def intern(self, key: SeriesKey) -> int:
        """Handle of `key`, a new one at first sight."""
        handle = self._by_key.get(key)
        if handle is None:
            if self._free:
                handle = self._free.pop()
                self._keys[handle] = key
            else:
                handle = len(self._keys)
                self._keys.append(key)
            self._by_key[key] = handle
            self.characters += key.characters
        return handle

    def find(self, key: SeriesKey) -> int | None:
        """Handle of `key`; None where it has none."""
        return self._by_key.get(key)

    def key(self, handle: int) -> SeriesKey:
        """Key of a handle that is in use."""
        key = self._keys[handle]
        if key is None:
            raise KeyError(f"series handle {handle} is not in use")
        return key

    def retain(self, live: Iterable[int]) -> None:
        """Forget every handle that is not in `live`, and its raw spellings."""
        keep = set(live)
        for handle, key in enumerate(self._keys):
            if key is not None and handle not in keep:
                del self._by_key[key]
                self._keys[handle] = None
                self._free.append(handle)
                self.characters -= key.characters
        gone = [spelling for spelling, tag in self.by_raw.items() if tag >> KIND_BITS not in keep]
        for spelling in gone:
            del self.by_raw[spelling]
