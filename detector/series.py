"""Identity of a stream: canonical labels, a 128-bit fingerprint, and dense integer handles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

NAME_LABEL = "__name__"
GROUP_LABEL = "__group__"
"""In a group's key, the label that holds the names of the labels its members share."""
KIND_BITS = 2
"""Low bits of a tag, for the kind of the values; the rest is the handle. A decoder needs no more of a series."""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A stream's labels, sorted by name, with the metric's name under `__name__` as in Prometheus."""

    labels: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str] | None = None) -> SeriesKey:
        """Key of metric `name` with `labels`; labels with an empty value are dropped.

        >>> str(SeriesKey.of("cpu", {"host": "a", "core": ""}))
        'cpu{host="a"}'
        """
        pairs = {k: v for k, v in (labels or {}).items() if v != ""}
        if name:
            pairs[NAME_LABEL] = name
        return cls(tuple(sorted(pairs.items())))

    @property
    def name(self) -> str:
        """The metric's name; empty if it has none."""
        return dict(self.labels).get(NAME_LABEL, "")

    @property
    def is_group(self) -> bool:
        """Whether this names a group of streams."""
        return any(name == GROUP_LABEL for name, _ in self.labels)

    @property
    def characters(self) -> int:
        """Total length of label names and values, the part of a key that may be long."""
        return len("".join(chain.from_iterable(self.labels)))

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits: BLAKE2b-128 of the length-prefixed labels, so that quoting cannot cause collisions."""
        digest = hashlib.blake2b(digest_size=16)
        for pair in self.labels:
            for part in pair:
                raw = part.encode("utf-8", "surrogatepass")
                digest.update(len(raw).to_bytes(4, "little"))
                digest.update(raw)
        return digest.hexdigest()

    def __str__(self) -> str:
        r"""As in Prometheus, in one line of printable text: a terminal that shows it obeys no name.

        >>> print(SeriesKey.of("cpu", {"host": "a\x1b[2J\n", "path": 'C:\\"'}))
        cpu{host="a\x1b[2J\n",path="C:\\\""}
        """
        inner = ",".join(f'{k}="{_escape(v)}"' for k, v in self.labels if k != NAME_LABEL)
        text = f"{self.name}{{{inner}}}" if inner or not self.name else self.name
        if text.isprintable():
            return text
        return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


class SeriesIndex:
    """Dense integer handles for the series keys of one partition, so that samples can be passed as columns.

    Handles depend on the process and on arrival order; nothing durable refers to them. In `by_raw`, which decoders may
    fill and clear at will, they map the raw bytes of a series to its tag, `handle << KIND_BITS | kind`. Only `retain`
    takes handles back; it is called between batches, when none is in use.
    """

    def __init__(self) -> None:
        self.by_raw: dict[object, int] = {}
        self.raw_bytes = 0
        """Upper bound on the size of the raw spellings, maintained by whoever fills `by_raw`."""
        self.characters = 0
        """Total `characters` of all keys."""
        self._by_key: dict[SeriesKey, int] = {}
        self._keys: list[SeriesKey | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def capacity(self) -> int:
        """One more than the largest handle ever assigned."""
        return len(self._keys)

    def intern(self, key: SeriesKey) -> int:
        """Handle of `key`, assigned the first time it is seen."""
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
        """Handle of `key`, or None if it has none."""
        return self._by_key.get(key)

    def key(self, handle: int) -> SeriesKey:
        """Key of a handle that is in use."""
        key = self._keys[handle]
        if key is None:
            raise KeyError(f"series handle {handle} is not in use")
        return key

    def retain(self, live: Iterable[int]) -> None:
        """Forget every handle not in `live`, with its raw spellings."""
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
