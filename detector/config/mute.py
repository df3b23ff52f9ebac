"""The keys `alerts.time_intervals` and `alerts.mute`: when alerts are held back because anomalies are expected.

The format is Alertmanager's (`time_interval`, `mute_time_intervals`, `matchers`). Values are parsed here, once, so that
their errors are reported like those of any other key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from detector.config.values import Section

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
DAY_OF = {name: number for number, name in enumerate(_WEEKDAYS)}
"""Weekday -> number; weeks begin on Sunday, as in Alertmanager."""
MONTH_OF = {name: number for number, name in enumerate(_MONTHS, start=1)}
DAY_MINUTES = 24 * 60

Span = tuple[int, int]
"""First and last value of a range, both inclusive."""

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_MATCHER = re.compile(
    r"""\s*(?:"(?P<quoted_label>(?:[^"\\]|\\.)+)"|(?P<label>[^\s"'`{},!=~\\]+))\s*(?P<operator>=~|!~|!=|=)"""
    r"""\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<value>(?:[^\s"](?:[^"]*[^\s"])?)?))\s*"""
)
_ESCAPED = re.compile(r'\\(["\\n])')


class Matcher(NamedTuple):
    """A condition on one label of an alert; a missing label counts as empty."""

    label: str
    pattern: re.Pattern[str]
    """Has to match the whole value."""
    wanted: bool
    """False if the value must not match."""


def matcher(given: object) -> Matcher:
    """Parse a matcher.

    >>> matcher('host=~"db-.*"').label
    'host'
    """
    if isinstance(given, Matcher):
        return given
    found = _MATCHER.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        known = 'host="db-1", host=~"db-.*", host!="db-1" or host!~"db-.*"'
        raise ValueError(f"{given!r} is not a matcher such as {known}")
    label = found["label"] or _unescaped(found["quoted_label"])
    value = found["value"] if found["quoted"] is None else _unescaped(found["quoted"])
    operator = found["operator"]
    try:
        pattern = re.compile(value if operator.endswith("~") else re.escape(value))
    except re.error as exc:
        raise ValueError(f"{given!r}: invalid regular expression: {exc}") from exc
    return Matcher(label, pattern, wanted=operator.startswith("="))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text)


def minute_of_day(given: object) -> int:
    """Minutes since midnight.

    >>> minute_of_day("02:30")
    150
    """
    if isinstance(given, str) and (found := _CLOCK.fullmatch(given.strip())):
        return int(found[1]) * 60 + int(found[2]) if found[1] else DAY_MINUTES
    raise ValueError(f"{given!r} is not a time of day such as 02:30 or 24:00")


def _span(given: object, names: Mapping[str, int], least: int, most: int) -> Span:
    """Parse `first:last`, or a single value, given as numbers or names."""
    if isinstance(given, tuple | list) and len(given) == 2:
        given = f"{given[0]}:{given[1]}"
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise ValueError(f'{given!r} is not a range such as "1:5"')
    parts = str(given).strip().lower().split(":")
    numbers = [names.get(part.strip(), _number(part)) for part in parts]
    if len(parts) > 2 or any(number is None or not least <= number <= most for number in numbers):
        known = ", ".join(names) if names else f"{least} to {most}"
        raise ValueError(f"{given!r} is not a range of {known}")
    first, last = numbers[0], numbers[-1]
    if first is None or last is None or (first > last and (first < 0) == (last < 0)):
        raise ValueError(f"{given!r} ends before it begins; split it in two")
    return first, last


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def weekdays(given: object) -> Span:
    """Days of the week, 0 is Sunday.

    >>> weekdays("monday:friday")
    (1, 5)
    """
    return _span(given, DAY_OF, 0, 6)


def days_of_month(given: object) -> Span:
    """Days of the month; negative ones count from its end.

    >>> days_of_month("-3:-1")
    (-3, -1)
    """
    first, last = _span(given, {}, -31, 31)
    if first == 0 or last == 0 or (first < 0 < last):
        raise ValueError(f"{given!r}: days are 1 to 31, or -1 for the last one to -31")
    return first, last


def months(given: object) -> Span:
    """Months by name or number.

    >>> months("january:march")
    (1, 3)
    """
    return _span(given, MONTH_OF, 1, 12)


def years(given: object) -> Span:
    """Years."""
    return _span(given, {}, 1970, 2200)


def _location(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(
            f"{name!r} is not a time zone known on this machine, such as Europe/Berlin or UTC (package tzdata)"
        ) from exc
    return name


Weekdays = Annotated[Span, BeforeValidator(weekdays)]
DaysOfMonth = Annotated[Span, BeforeValidator(days_of_month)]
Months = Annotated[Span, BeforeValidator(months)]
Years = Annotated[Span, BeforeValidator(years)]


class TimeRange(Section):
    """From `start_time` up to but excluding `end_time`, in local time."""

    start_time: Annotated[int, BeforeValidator(minute_of_day)]
    end_time: Annotated[int, BeforeValidator(minute_of_day)]

    @model_validator(mode="after")
    def _in_order(self) -> TimeRange:
        if self.start_time >= self.end_time:
            raise ValueError("end_time is not after start_time; a night is two ranges, up to 24:00 and from 00:00")
        return self


class TimeInterval(Section):
    """Times that match one entry of each list; an empty list matches any time."""

    times: list[TimeRange] = []
    weekdays: list[Weekdays] = []
    days_of_month: list[DaysOfMonth] = []
    months: list[Months] = []
    years: list[Years] = []
    location: Annotated[str, AfterValidator(_location)] = "UTC"


class NamedIntervals(Section):
    """Intervals under a name, which is also the value of a metric's label."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    time_intervals: Annotated[list[TimeInterval], Field(min_length=1)]


class Mute(Section):
    """Alerts that match all `matchers` are held back during these intervals."""

    matchers: list[Annotated[Any, BeforeValidator(matcher)]] = []
    time_intervals: Annotated[list[str], Field(min_length=1)]
