"""Event times: a number since 1970 in some unit, or an RFC 3339 date and time. All results are in UTC."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import numpy as np

from detector.errors import DecodeError
from detector.records import Float64

Unit = Literal["auto", "s", "ms", "us", "ns"]

PER_SECOND: dict[str, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
END_OF_TIME = 1e11
"""In the year 5138. Larger numbers are not seconds but in a finer unit; no later time is accepted in any spelling."""

_US_FROM = 1e14
_NS_FROM = 1e17
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of times without an offset, which mean UTC


def seconds(numbers: Float64, unit: Unit) -> Float64:
    """Unix seconds of `numbers` [N], which are in `unit`; `auto` tells the unit by magnitude.

    Seconds reach 1e11 in the year 5138, milliseconds passed it in 1973, and so on: present-day times are unambiguous.

    >>> seconds(np.array([1.7e9, 1.7e12, 1.7e15, 1.7e18]), "auto").tolist()
    [1700000000.0, 1700000000.0, 1700000000.0, 1700000000.0]
    """
    if unit != "auto":
        return numbers if unit == "s" else numbers / PER_SECOND[unit]
    size = np.abs(numbers)
    if not (size >= END_OF_TIME).any():
        return numbers
    divisor = np.where(size < END_OF_TIME, 1.0, np.where(size < _US_FROM, 1e3, np.where(size < _NS_FROM, 1e6, 1e9)))
    return numbers / divisor


def parse_time(text: str) -> float:
    """Unix seconds of an RFC 3339 text. `T` may be a space, a missing offset means UTC, a date alone means midnight.

    Raises DecodeError.

    Digits beyond the microsecond are dropped; a leap second is the second after :59.

    >>> parse_time("2023-11-14T22:13:20Z"), parse_time("2023-11-14 22:13:20.5"), parse_time("2023-11-15T00:13:20+02:00")
    (1700000000.0, 1700000000.5, 1700000000.0)
    >>> parse_time("2023-11-15")
    1700006400.0
    """
    full = text + "T00:00:00" if len(text) == 10 else text
    # fromisoformat also reads week dates and dates without hyphens, which may well be meant as plain numbers.
    if len(full) >= 16 and full[4] == full[7] == "-" and full[10] in "Tt ":
        try:
            return _seconds_of(full)
        except (ValueError, OverflowError):
            if text[16:19] == ":60":
                return _leap_second(text)
    raise _no_time(text)


def parse_number(text: str) -> float:
    """A number written as text, NaN and infinities in any spelling included. Raises ValueError.

    >>> parse_number(" 12.5 "), parse_number("+Inf")
    (12.5, inf)
    """
    if "_" in text:  # float() reads Python's digit grouping, which no producer means
        raise ValueError(f"{text[:60]!r} is not a number")
    return float(text)


def time_of(text: str, per_second: float) -> float:
    """A timestamp given as text, in units of `1 / per_second` seconds: a date, or a number already in that unit.

    Infinite for a date beyond `END_OF_TIME`. Raises DecodeError.
    """
    try:
        moment = parse_time(text)
        return moment * per_second if moment < END_OF_TIME else math.inf
    except DecodeError:
        try:
            number = parse_number(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise


def _seconds_of(text: str) -> float:
    moment = datetime.fromisoformat(text if text[-1] != "z" else text[:-1] + "Z")
    return (moment - _EPOCH).total_seconds() if moment.tzinfo is None else moment.timestamp()


def _leap_second(text: str) -> float:
    try:
        return _seconds_of(f"{text[:16]}:59{text[19:]}") + 1.0
    except (ValueError, OverflowError):
        raise _no_time(text) from None


def _no_time(text: str) -> DecodeError:
    return DecodeError("timestamp", f"{text[:60]!r} is not an RFC 3339 time such as 2025-06-15T08:00:00Z")
