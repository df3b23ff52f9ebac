"""Events that the operator expects: while one lasts, matching alerts are held back.

Intervals are compared with the sample's event time, in the time zone of the interval, so a replay gives the same
result. The rules are Alertmanager's: <https://prometheus.io/docs/alerting/latest/configuration/#time_interval>.
"""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from detector.alerts.record import alert_labels
from detector.config.alerts import Alerts
from detector.config.mute import Mute, NamedIntervals, Span, TimeInterval
from detector.series import SeriesKey

HISTORY = "not_before"
"""Name for the interval before `alerts.not_before`."""
REMEMBERED_SERIES = 1 << 16
"""With more open alerts than this, every sample of one that is held back would be matched against all rules."""


class Mutes:
    """The sections `alerts.time_intervals`, `alerts.mute` and `alerts.not_before`."""

    def __init__(self, alerts: Alerts | None = None) -> None:
        """With None, nothing is held back."""
        alerts = alerts or Alerts()
        self._rules = alerts.mute
        self._intervals = {named.name: named for named in alerts.time_intervals}
        self._not_before = alerts.not_before.timestamp() if alerts.not_before else -math.inf
        self._of_series = lru_cache(REMEMBERED_SERIES)(self._find)
        self.names = (*self._intervals, *((HISTORY,) if alerts.not_before else ()))
        """Every name that `interval` may return."""

    def interval(self, series: SeriesKey, unix_seconds: float) -> str | None:
        """Name of the interval that mutes this stream or group at that event time, or None."""
        if unix_seconds < self._not_before:
            return HISTORY
        for named in self._of_series(series):
            if any(covers(interval, unix_seconds) for interval in named.time_intervals):
                return named.name
        return None

    def _find(self, series: SeriesKey) -> tuple[NamedIntervals, ...]:
        """Intervals of the rules whose matchers all match, in rule order."""
        labels = alert_labels(series)
        names = [name for rule in self._rules if _fits(rule, labels) for name in rule.time_intervals]
        return tuple(self._intervals[name] for name in dict.fromkeys(names))


def covers(interval: TimeInterval, unix_seconds: float) -> bool:
    """Whether the time lies in the interval."""
    local = datetime.fromtimestamp(unix_seconds, ZoneInfo(interval.location))
    last_day = monthrange(local.year, local.month)[1]
    return (
        _within([(one.start_time, one.end_time - 1) for one in interval.times], local.hour * 60 + local.minute)
        and _within(interval.weekdays, local.isoweekday() % 7)
        and _within(interval.months, local.month)
        and _within(interval.years, local.year)
        and _within([_from_first(span, last_day) for span in interval.days_of_month], local.day)
    )


def _within(spans: Sequence[Span], number: int) -> bool:
    return not spans or any(first <= number <= last for first, last in spans)


def _from_first(span: Span, last_day: int) -> Span:
    """Convert days counted from the end of the month to days from its beginning."""
    first, last = (day if day > 0 else last_day + 1 + day for day in span)
    return first, last


def _fits(rule: Mute, labels: dict[str, str]) -> bool:
    return all(bool(one.pattern.fullmatch(labels.get(one.label, ""))) == one.wanted for one in rule.matchers)
