"""Finds the handle of a series from what a record says about it, looked up by the raw spelling.

`SeriesIndex.by_raw` maps a spelling to a *tag*: handle and kind packed into one number, so one look-up gives both.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from detector.errors import DecodeError
from detector.records import Int64, Kind, Uint8
from detector.series import GROUP_LABEL, KIND_BITS, SeriesIndex, SeriesKey

MAX_LABEL_CHARACTERS = 16_384
"""In names and values of one series together; limited because every label stays in memory."""

_SPELLINGS_PER_SERIES = 4
_LEAST_SPELLINGS = 65_536
_SPELLED_BYTES_PER_SERIES = 2 << 10
_SPELLED_BYTES_PER_CHARACTER = 2
_LEAST_SPELLED_BYTES = 64 << 20
_LONGEST_INTEGER = 64
_RUNNING_TOTALS = ("_total", "_sum", "_count", "_bucket")
"""The suffixes of running totals in Prometheus."""


def unpack(tags: list[int]) -> tuple[Int64, Uint8]:
    """Handles [N] and kinds [N] of tags."""
    packed = np.array(tags, dtype=np.int64)
    return packed >> KIND_BITS, (packed & ((1 << KIND_BITS) - 1)).astype(np.uint8)


class Kinds:
    """Tells the kind of a series: by the configured patterns, else by the record, else by the suffix of its name."""

    def __init__(
        self, counters: Iterable[str] = (), gauges: Iterable[str] = (), suffixes: tuple[str, ...] = _RUNNING_TOTALS
    ) -> None:
        self._counters = matching(counters)
        self._gauges = matching(gauges)
        self._suffixes = suffixes

    def __call__(self, key: SeriesKey, said: Kind | None = None) -> Kind:
        """A name that matches both lists is a gauge; `said` is None if the record does not tell the kind.

        >>> kinds = Kinds(counters=["net_bytes_*"], gauges=["process_count"])
        >>> [kinds(SeriesKey.of(name)).name for name in ("http_requests_total", "net_bytes_recv", "process_count")]
        ['COUNTER', 'COUNTER', 'GAUGE']
        """
        name = key.name
        if self._gauges.fullmatch(name):
            return Kind.GAUGE
        if self._counters.fullmatch(name):
            return Kind.COUNTER
        if said is not None:
            return said
        return Kind.COUNTER if name.endswith(self._suffixes) else Kind.GAUGE


def matching(patterns: Iterable[str]) -> re.Pattern[str]:
    """A pattern that matches whatever one of the shell patterns does; nothing if there are none."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def remember(series: SeriesIndex, spelling: Hashable, key: SeriesKey, kind: Kind) -> int:
    """Tag of `key` and `kind`, found again under `spelling` from now on.

    Raises DecodeError for a key that must not be kept: empty, of a group, too long, or not encodable.
    """
    if not key.labels:
        raise DecodeError("identity", "neither a name nor a label")
    if key.is_group:
        raise DecodeError("labels", f"the label {GROUP_LABEL} is reserved for groups of streams")
    text = "".join([part for pair in key.labels for part in pair])
    if len(text) > MAX_LABEL_CHARACTERS:
        raise DecodeError("labels", f"{len(text)} characters of labels, more than {MAX_LABEL_CHARACTERS}")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise DecodeError("encoding", "half of a surrogate pair in a name or label") from exc
    tag = series.intern(key) << KIND_BITS | kind
    series.raw_bytes += _size(spelling)
    most_bytes = _SPELLED_BYTES_PER_SERIES * len(series) + _SPELLED_BYTES_PER_CHARACTER * series.characters
    if len(series.by_raw) >= max(_LEAST_SPELLINGS, _SPELLINGS_PER_SERIES * len(series)) or (
        series.raw_bytes > max(_LEAST_SPELLED_BYTES, most_bytes)
    ):  # the same series in ever new spellings
        series.by_raw.clear()
        series.raw_bytes = _size(spelling)
    series.by_raw[spelling] = tag
    return tag


def _size(spelling: Hashable) -> int:
    """Size of the texts in it, the only part that may be large."""
    if isinstance(spelling, tuple):
        return sum(map(_size, spelling))
    return len(spelling) if isinstance(spelling, str | bytes) else 0


def key_of(stream: Any, name: Any, labels: Any) -> SeriesKey:
    """Key from parsed JSON; None and empty texts count as missing. Raises DecodeError."""
    stream, name = (None if text == "" else text for text in (stream, name))
    if stream is not None and name is not None:
        raise DecodeError("identity", "both a stream and a name")
    text = name if stream is None else stream
    if not isinstance(text, str | None):
        raise DecodeError("identity", f"the name is a {type(text).__name__}")
    if not isinstance(labels, dict | None):
        raise DecodeError("labels", f"the labels are a {type(labels).__name__}")
    return SeriesKey.of(text or "", {label: _label_text(label, value) for label, value in (labels or {}).items()})


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


def parse_json(text: str) -> Any:
    """Parse JSON, including the NaN and Infinity that many producers write. Raises ValueError, RecursionError."""
    return _DECODER.decode(text)


def raw_labels(raw: bytes) -> Any:
    """Parse labels that the fast parser left as raw JSON. Raises DecodeError."""
    try:
        return parse_json(raw.decode())
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} of the labels is not UTF-8") from exc
    except RecursionError:
        raise DecodeError("nesting", "labels nested too deeply") from None
    except ValueError as exc:
        raise DecodeError("syntax", f"labels: {exc}") from exc


def most_labels(raw: bytes) -> int:
    """Upper bound on the labels in a piece of raw JSON: each has a colon, and quotes around its name.

    >>> most_labels(b'{"a": "b", "c": "::"}')
    4
    """
    return min(raw.count(b":"), raw.count(b'"') // 2)


def _label_text(label: str, value: Any) -> str:
    """One text per meaning: 1, 1.0 and "1" are the same label value, and so are true and "true"."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int | float):
        return str(value)
    raise DecodeError("labels", f"label {label[:60]!r} is a {type(value).__name__}")
