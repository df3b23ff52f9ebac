"""A small server with Alertmanager's API that can be made to fail, and alerts for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from detector.alerts import AlertRecord
from detector.records import Alert, AlertStatus
from detector.series import SeriesKey
from detector.sinks.alertmanager_alert import Notice, notice
from tests.sinks.receivers import Receiver
from tests.telemetry.populate import alert

RECORD = AlertRecord({}, "test").value


def firing(host: str = "a", partition: int = 0, starts_at: float = 1_000.0, **changes: Any) -> Alert:
    series = SeriesKey.of("cpu", {"host": host})
    return replace(alert(AlertStatus.FIRING), series=series, partition=partition, starts_at=starts_at, **changes)


def resolved(host: str = "a", partition: int = 0, starts_at: float = 1_000.0, ends_at: float = 1_060.0) -> Alert:
    return replace(firing(host, partition, starts_at), status=AlertStatus.RESOLVED, ends_at=ends_at)


def noticed(one: Alert) -> Notice:
    return notice(one, RECORD(one))


class FakeAlertmanager(Receiver):
    """A server whose answers a test sets."""

    @property
    def posts(self) -> list[list[dict[str, Any]]]:
        """The alerts of each request."""
        return [json.loads(body) for body in self.bodies]

    @property
    def hosts(self) -> list[list[str]]:
        """The hosts of the alerts in each request."""
        return [[one["labels"]["host"] for one in post] for post in self.posts]
