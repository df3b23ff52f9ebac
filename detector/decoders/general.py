"""The general way to read a JSON record: any shape that means samples, fields anywhere, values in odd spellings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from detector.config.fields import Fields
from detector.decoders.identity import Kinds, key_of, parse_json, remember
from detector.decoders.timestamps import parse_number, time_of
from detector.errors import DecodeError
from detector.series import SeriesIndex

_KNOWN_TIMES = 4_096
_LONGEST_KNOWN_TIME = 64
"""In characters; longer texts are not dates, or padded."""
_MISSING: Any = object()
_TEXT = {str, type(_MISSING)}

NOT_PARSED = (msgspec.MsgspecError, RecursionError, ValueError)
"""The errors of the fast parser."""

Read = Callable[[Any], Any]
Item = TypeVar("Item")


Sample = tuple[int, float, float | None]
"""(tag, see `identity`; time in the decoder's unit, NaN if missing; value, None for a gap)."""


class Times:
    """Converts timestamps to numbers in one unit. Samples of a scrape share their time, so texts are parsed once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._known: dict[str, float] = {}

    def __call__(self, stamp: Any) -> float:
        """The number; NaN if there is no timestamp. Raises DecodeError."""
        if stamp.__class__ is str:
            number = self._known.get(stamp)
            return self._of_text(stamp) if number is None else number
        if stamp is None or stamp is _MISSING:
            return math.nan
        if not isinstance(stamp, int | float) or isinstance(stamp, bool):
            raise DecodeError("timestamp", f"is a {type(stamp).__name__}")
        if stamp != stamp:
            raise DecodeError("timestamp", "is NaN")
        return _float(stamp)

    def _of_text(self, text: str) -> float:
        number = time_of(text, self._per_second)
        if len(text) <= _LONGEST_KNOWN_TIME:
            if len(self._known) >= _KNOWN_TIMES:
                self._known.clear()
            self._known[text] = number
        return number


def number_of(value: Any) -> float | None:
    """A sample's value, None for a gap; infinite if float64 cannot hold it. Raises DecodeError."""
    if value.__class__ is str:
        try:
            return parse_number(value)
        except ValueError:
            raise DecodeError("value", f"{value[:60]!r} is not a number") from None
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return _float(value)
    raise DecodeError("value", "is missing" if value is _MISSING else f"is a {type(value).__name__}")


def _float(number: float) -> float:
    """The nearest float; infinite for an integer beyond all of them."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def first_of(ways: Sequence[Callable[[bytes], list[Item]]], payload: bytes, name: str) -> list[Item]:
    """Read a record in the first of `ways` that finds something in it: one object, an array of them, one per line.

    Raises DecodeError: what is wrong with the JSON or, if it is valid, why the first way finds no `name` in it.
    """
    why: Exception | None = None
    for way in ways:
        try:
            found = way(payload)
        except NOT_PARSED as exc:
            why = why or exc
            continue
        if found:
            return found
    raise misshapen(payload, name, why) from why


def misshapen(payload: bytes, name: str, why: Exception | None) -> DecodeError:
    """The error for valid JSON that is not a `name`. Raises DecodeError if it is not even valid."""
    documents(payload)
    return DecodeError("shape", f"no {name}: {why}")


def documents(payload: bytes) -> list[Any]:
    """The JSON values of a record: the elements of an array, one per line, or a single one. Raises DecodeError."""
    try:
        return _elements(msgspec.json.decode(payload))
    except NOT_PARSED:
        pass  # the standard library also reads NaN, and has better error messages
    try:
        text = payload.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} is not UTF-8") from exc
    if not text.strip():
        raise DecodeError("empty", f"{len(payload)} bytes")
    try:
        found = parse_json(text)
    except RecursionError:
        raise DecodeError("nesting", "nested too deeply") from None
    except ValueError as exc:
        if "\n" not in text.strip():
            raise DecodeError("syntax", str(exc)) from exc
        return [_line(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _elements(found)


def _elements(found: Any) -> list[Any]:
    if not isinstance(found, list):
        return [found]
    if not found:
        raise DecodeError("empty", "an array without elements")
    return found


def _line(number: int, line: str) -> Any:
    try:
        return parse_json(line)
    except RecursionError:
        raise DecodeError("nesting", f"line {number} is nested too deeply") from None
    except ValueError as exc:
        raise DecodeError("syntax", f"line {number}: {exc}") from exc


class GeneralDecoder:
    """Samples of one record, whatever its shape."""

    def __init__(self, fields: Fields, times: Times, kinds: Kinds) -> None:
        self._times = times
        self._kinds = kinds
        self._read = tuple(
            _reader(path) for path in (fields.stream, fields.name, fields.labels, fields.timestamp, fields.value)
        )

    def __call__(self, payload: bytes, series: SeriesIndex) -> list[Sample]:
        """Every sample of the record. Raises DecodeError, and then none of them counts."""
        found = documents(payload)
        samples = []
        for number, document in enumerate(found, 1):
            try:
                samples.append(self._sample(document, series))
            except DecodeError as exc:
                where = f"sample {number} of {len(found)}: " if len(found) > 1 else ""
                raise DecodeError(exc.reason, where + exc.detail) from exc
        return samples

    def _sample(self, document: Any, series: SeriesIndex) -> Sample:
        if not isinstance(document, dict):
            raise DecodeError("shape", f"is a {type(document).__name__}, not an object")
        stream, name, labels, stamp, value = [read(document) for read in self._read]
        time, number = self._times(stamp), number_of(value)
        spelling = None
        if isinstance(labels, dict) and {type(stream), type(name), *map(type, labels.values())} <= _TEXT:
            # Only texts make safe keys: to a dictionary the labels 1, 1.0 and true are the same.
            spelling = stream, name, tuple(labels.items())
            tag = series.by_raw.get(spelling)
            if tag is not None:
                return tag, time, number
        key = key_of(*(None if part is _MISSING else part for part in (stream, name, labels)))
        return remember(series, spelling or key, key, self._kinds(key)), time, number


def _reader(path: str) -> Read:
    parts = path.split(".")

    def read(document: Any) -> Any:
        for part in parts:
            if not isinstance(document, dict):
                return _MISSING
            document = document.get(part, _MISSING)
        return document

    return read
