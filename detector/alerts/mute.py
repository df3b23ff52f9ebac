"""Events that the operator expects: while one lasts, alerts that fit it are held back.

An interval is judged by the event time of the sample, on the clock of its own location, so a replay finds the same
moments again. The rules are Alertmanager's: <https://prometheus.io/docs/alerting/latest/configuration/#time_interval>.
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
"""Stands for the name of an interval before `alerts.not_before`."""
REMEMBERED_SERIES = 4096


class Mutes:
    """The sections `alerts.time_intervals`, `alerts.mute` and `alerts.not_before`."""

    def __init__(self, alerts: Alerts | None = None) -> None:
        """None holds nothing back."""
        alerts = alerts or Alerts()
        self._rules = alerts.mute
        self._intervals = {named.name: named for named in alerts.time_intervals}
        self._not_before = alerts.not_before.timestamp() if alerts.not_before else -math.inf
        self._of_series = lru_cache(REMEMBERED_SERIES)(self._find)
        self.names = (*self._intervals, *((HISTORY,) if alerts.not_before else ()))
        """All that `interval` may answer."""

    def interval(self, series: SeriesKey, unix_seconds: float) -> str | None:
        """Name of the interval that holds back the alerts of this stream or group at that event time; None: none."""
        if unix_seconds < self._not_before:
            return HISTORY
        for named in self._of_series(series):
            if any(covers(interval, unix_seconds) for interval in named.time_intervals):
                return named.name
        return None

    def _find(self, series: SeriesKey) -> tuple[NamedIntervals, ...]:
        """Intervals in the order of the rules whose matchers all fit."""
        labels = alert_labels(series)
        names = [name for rule in self._rules if _fits(rule, labels) for name in rule.time_intervals]
        return tuple(self._intervals[name] for name in dict.fromkeys(names))


def covers(interval: TimeInterval, unix_seconds: float) -> bool:
    """Whether the moment lies in the interval."""
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
    """Days that count from the end of the month, as days from its beginning."""
    first, last = (day if day > 0 else last_day + 1 + day for day in span)
    return first, last


def _fits(rule: Mute, labels: dict[str, str]) -> bool:
    return all(bool(one.pattern.fullmatch(labels.get(one.label, ""))) == one.wanted for one in rule.matchers)
