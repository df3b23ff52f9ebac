"""Round ticks for the axes of pictures, and short text for numbers and times."""

from __future__ import annotations

import math

import numpy as np

from detector.backtest.labels import iso

MOST_DIGITS = 8
"""More would not fit beside a picture."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TIME_STEPS = [
    *(1, 5, 15, 30),
    *(n * _MINUTE for n in (1, 5, 15, 30)),
    *(n * _HOUR for n in (1, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 28, 91, 182, 364, 1820)),
]


def value_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """At most `most` round values between two, as text with enough digits to tell them apart, up to `MOST_DIGITS`.

    >>> value_ticks(0.0, 10.0, 3), value_ticks(1.7501e9, 1.7503e9, 3)[0]
    ([(0.0, '0'), (5.0, '5'), (10.0, '10')], (1750100000.0, '1.7501G'))
    """
    span = high - low
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(n * magnitude for n in (1, 2, 2.5, 5, 10, 20, 25) if span / (n * magnitude) < most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [n * step for n in range(first, last + 1)]
    digits = 4
    while digits < MOST_DIGITS and len({short(value, digits) for value in values}) < len(values):
        digits += 1
    return [(value, short(value, digits)) for value in values]


def short(number: float, digits: int = 4) -> str:
    """A number in few characters, with `digits` significant digits.

    >>> short(1500.0), short(2.5e7), short(0.0123456), short(-3.0)
    ('1500', '25M', '0.01235', '-3')
    """
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(number) < 1e13:
            return f"{number / (1e3 if suffix == 'k' else size):.{digits}g}{suffix}"
    return f"{number:.{digits}g}"


def time_ticks(start: float, end: float, most: int) -> list[tuple[float, str]]:
    """At most `most` round times between two, in UTC, with their text: a date, a time of day, or both."""
    step = next((step for step in _TIME_STEPS if (end - start) / step < most), max(int(end - start), 1))
    moments = np.arange(math.ceil(start / step), math.floor(end / step) + 1) * step
    return [(float(moment), _moment(float(moment), step)) for moment in moments]


def _moment(moment: float, step: int) -> str:
    text = iso(moment)
    return text[:10] if step >= _DAY else text[5:16] if step >= _MINUTE else text[11:]


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(0.0), duration(90.0), duration(5400.0), duration(200_000.0)
    ('0', '1.5 min', '1.5 h', '2.3 d')
    """
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{short(seconds)} s" if seconds else "0"
