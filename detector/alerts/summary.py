"""An alert in a sentence for people."""

from __future__ import annotations

import math

from detector.records import Alert, Direction
from detector.series import GROUP_LABEL, SeriesKey

LONGEST_NAME = 1_000
"""Characters to which the name of a stream or group is cut: labels may be 16 times as long, and the record must fit
Kafka's limit of 1 MiB."""
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
MOST_DIGITS = 3
"""Behind the point, of a number with a unit: one that needs more is written out."""
SMALLEST = 1e-4
LARGEST = 1e15
"""Beyond these, numbers have an exponent."""


def summary(alert: Alert) -> str:
    """What was seen and what was expected, or which streams of a group stand out."""
    if alert.series.is_group:
        return _of_group(alert)
    value, expected, lower, upper = shown(alert.value, alert.expected, alert.lower, alert.upper)
    if alert.lower <= alert.value <= alert.upper:
        what = (
            f"within the expected {lower} to {upper}, but unusual for this stream: stuck, or away from its daily habit"
        )
    else:
        side = "above" if alert.direction == Direction.ABOVE else "below"
        what = f"{side} the expected {expected} ({lower} to {upper})"
    found = f"rises by {value} a second" if alert.per_second else f"is {value}"
    return f"{_cut(str(alert.series))} {found}, {what}; anomaly_score {alert.anomaly_score:.2f}"


def shown(*numbers: float) -> list[str]:
    """Numbers that are compared: in one unit, with the digits that tell them apart to a hundredth.

    >>> shown(431.0, 128.1, 110.2, 146.0), shown(0.0334, 0.0, -3.7e-06, 3.7e-06)
    (['431', '128', '110', '146'], ['0.0334', '0', '0', '0'])
    >>> shown(34_785_864_300.0, 38.9e9, 38.2e9, 39.6e9), shown(1_763_884_200.0, 1_763_862_600.0)
    (['34.79G', '38.9G', '38.2G', '39.6G'], ['1763884200', '1763862600'])
    """
    largest = max(map(abs, numbers))
    if not SMALLEST <= largest < LARGEST:
        return [f"{number:.4g}" for number in numbers]
    resolved = (max(numbers) - min(numbers) or largest / 10.0) / 100.0
    unit, name = next((one for one in UNITS if largest >= one[0]), (1.0, ""))
    digits = _digits(resolved / unit)
    if name and digits > MOST_DIGITS:
        unit, name, digits = 1.0, "", min(_digits(resolved), 15 - len(f"{largest:.0f}"))
    return [_number(number / unit, digits, name) for number in numbers]


def _of_group(alert: Alert) -> str:
    shared = tuple(label for label in alert.series.labels if label[0] != GROUP_LABEL)
    ranked = ((_without(one.series, shared), one.anomaly_score) for one in alert.contributors)
    named = ", ".join(f"{_cut(str(series))} ({score:.2f})" for series, score in ranked)
    group = _cut(str(SeriesKey(shared)))
    return (
        f"{group}: its {alert.members or 'former'} streams together are unlike their past; anomaly_score "
        f"{alert.anomaly_score:.2f}; most unusual: {named or 'no single stream'}"
    )


def _without(series: SeriesKey, shared: tuple[tuple[str, str], ...]) -> SeriesKey:
    return SeriesKey(tuple(label for label in series.labels if label not in shared))


def _digits(resolved: float) -> int:
    """Digits behind the point that show so small a difference."""
    return max(0, math.ceil(-math.log10(resolved)))


def _number(number: float, digits: int, unit: str) -> str:
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("0", "-0") else text + unit


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
