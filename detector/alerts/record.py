"""The alert record that subscribers of the topic read; its schema is published as `docs/alert.schema.json`.

The value is Alertmanager's alert object plus `anomaly`; the headers are CloudEvents in binary mode. Labels identify an
alert, so a score is never a label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from detector.alerts.annotations import filled
from detector.alerts.summary import summary
from detector.protocols import Message
from detector.records import Alert, AlertStatus, rfc3339
from detector.series import GROUP_LABEL, NAME_LABEL, SeriesKey

SCHEMA_VERSION = 1
OPEN_END = "0001-01-01T00:00:00Z"
"""What Alertmanager writes as the end of an alert that has not ended."""
RESERVED_LABELS = frozenset({"alertname", "severity", "metric"})
"""Labels that we set on every alert."""
_encode = msgspec.json.Encoder(order="deterministic").encode


def alert_id(series: SeriesKey, topic: str, partition: int, starts_at: float) -> str:
    """32 hexadecimal digits, the same when the same records are replayed."""
    text = f"{series.fingerprint}|{topic}|{partition}|{starts_at!r}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def alert_labels(series: SeriesKey) -> dict[str, str]:
    """The labels of a stream's or group's alert as subscribers read them, without its severity.

    >>> alert_labels(SeriesKey.of("cpu", {"host": "a"}))
    {'alertname': 'MetricAnomaly', 'metric': 'cpu', 'host': 'a'}
    """
    return {"alertname": "GroupAnomaly" if series.is_group else "MetricAnomaly", **_own_labels(series)}


class AlertRecord:
    """Encodes alerts. `labels` are defaults for labels that a stream lacks; `source` is the value of `ce_source`.

    `annotations` are added to the summary; see `filled`.
    """

    def __init__(self, labels: dict[str, str], source: str, annotations: Mapping[str, str] | None = None) -> None:
        self.labels = labels
        self.source = source
        self.annotations = annotations or {}

    def __call__(self, alert: Alert) -> Message:
        """The record: key = series fingerprint, value = JSON, headers = CloudEvents 1.0 attributes."""
        status = _status(alert)
        headers = {
            "ce_specversion": "1.0",
            "ce_id": f"{alert.id}-{status}",
            "ce_type": f"detector.alert.{status}.v{SCHEMA_VERSION}",
            "ce_source": self.source,
            "ce_time": rfc3339(alert.time),
            "content-type": "application/json",
        }
        return Message(
            key=alert.series.fingerprint.encode(),
            value=_encode(self.value(alert)),
            headers=tuple((name, text.encode()) for name, text in headers.items()),
        )

    def value(self, alert: Alert) -> dict[str, Any]:
        """The record's value, which subscribers read."""
        labels = {**self.labels, **alert_labels(alert.series), "severity": alert.severity.value}
        added = {name: filled(text, labels) for name, text in self.annotations.items()}
        return {
            "schema_version": SCHEMA_VERSION,
            "id": alert.id,
            "status": _status(alert),
            "labels": labels,
            "annotations": {"summary": summary(alert), **added},
            "startsAt": rfc3339(alert.starts_at),
            "endsAt": OPEN_END if alert.ends_at is None else rfc3339(alert.ends_at),
            "fingerprint": alert.series.fingerprint,
            "anomaly": {
                "time": rfc3339(alert.worst_time),
                "value": alert.value,
                **({"per_second": True} if alert.per_second else {}),
                "expected": alert.expected,
                "lower": alert.lower,
                "upper": alert.upper,
                "anomaly_score": alert.anomaly_score,
                "threshold": 1.0,
                "direction": alert.direction.value,
                "severity": alert.severity.value,
                "model": alert.model,
                "forecaster": alert.forecaster,
                "skill": alert.skill,
                "source": {"topic": alert.topic, "partition": alert.partition, "offset": alert.offset},
                **_group(alert),
            },
        }


def _status(alert: Alert) -> str:
    return "firing" if alert.status == AlertStatus.FIRING else "resolved"


def _group(alert: Alert) -> dict[str, Any]:
    """The fields that only a group's alert has."""
    if not alert.series.is_group:
        return {}
    ranked = [
        {
            "labels": _own_labels(one.series),
            "fingerprint": one.series.fingerprint,
            "anomaly_score": one.anomaly_score,
        }
        for one in alert.contributors
    ]
    return {"kind": "group", "members": alert.members, "contributors": ranked}


def _own_labels(series: SeriesKey) -> dict[str, str]:
    """A stream's or group's own labels; one that would hide ours gets a prefix, as Prometheus does for clashes."""
    own = {name: value for name, value in series.labels if name != GROUP_LABEL}
    labels = {}
    for name, value in own.items():
        shown = "metric" if name == NAME_LABEL else name
        while name in RESERVED_LABELS and (shown in RESERVED_LABELS or shown in own):
            shown = f"exported_{shown}"
        labels[shown] = value
    return labels
