"""Turns any value into one that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

MAX_DEPTH = 6
MAX_ENTRIES = 200
MAX_TEXT = 16_384

Plain = str | int | float | bool | None | list[Any] | dict[str, Any]


def plain(value: object, depth: int = 0) -> Plain:
    r"""`value` as plain JSON: bounded, without NaN or infinity, and never an exception.

    >>> plain({"score": float("nan"), "key": b"a\xff", "rows": (1, None)})
    {'score': 'nan', 'key': 'a\\xff', 'rows': [1, None]}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        number = int(value)
        return number if abs(number) < 1 << 63 else hex(number)[:MAX_TEXT]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return _cut(str.__str__(value))
    if isinstance(value, bytes | bytearray):
        return _cut(bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace"))
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        entries = list(value.items())[:MAX_ENTRIES]
        return {_cut(_text(key)): plain(entry, depth + 1) for key, entry in entries}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [plain(entry, depth + 1) for entry in list(value)[:MAX_ENTRIES]]
    return _cut(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{type(value).__name__}: {type(exc).__name__}>"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + f"... ({len(text)} characters)"
