"""Alerts in the form of Alertmanager's API v2, with label names valid in every version and times it accepts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from detector.records import Alert, Partition, rfc3339

Labels = tuple[tuple[str, str], ...]
"""(name, value) pairs sorted by name: an alert's identity to Alertmanager."""
LONGEST_NAME = 1_000
"""Characters to which the name of a contributing stream is cut."""
_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Notice:
    """One stream's or group's alert as Alertmanager should see it. Times are unix seconds of event time."""

    source: tuple[Partition, str]
    """Partition, and fingerprint of the stream or group. Two sources may have the same labels."""
    labels: Labels
    annotations: Mapping[str, str]
    starts_at: float
    ends_at: float | None
    """None while it is firing."""


def notice(alert: Alert, record: Mapping[str, Any]) -> Notice:
    """`record` is the alert as subscribers of the topic read it; labels and summary are taken from it."""
    annotations = {
        **record["annotations"],
        "value": f"{alert.value:.6g}",
        "expected": f"{alert.expected:.6g}",
        "anomaly_score": f"{alert.anomaly_score:.2f}",
        "direction": alert.direction.value,
    }
    if alert.contributors:
        ranked = (f"{str(one.series)[:LONGEST_NAME]} ({one.anomaly_score:.2f})" for one in alert.contributors)
        annotations["contributors"] = ", ".join(ranked)
    return Notice(
        source=((alert.topic, alert.partition), alert.series.fingerprint),
        labels=known_labels(record["labels"]),
        annotations={name: _readable(text) for name, text in annotations.items()},
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
    )


def known_labels(labels: Mapping[str, str]) -> Labels:
    """Labels valid in Alertmanager before 0.27; where two names become the same, their values are joined.

    >>> known_labels({"host.name": "a", "host-name": "b", "9th": "c", "none": ""})
    (('_9th', 'c'), ('host_name', 'b;a'))
    """
    joined: dict[str, list[str]] = {}
    for name in sorted(labels):
        if labels[name]:
            joined.setdefault(_known(name), []).append(_readable(labels[name]))
    return tuple((name, ";".join(joined[name])) for name in sorted(joined))


def body(notices: Iterable[Notice], now: float, lasting_seconds: float) -> bytes:
    """The request body for these at `now`, in unix seconds. A firing alert expires unless it is repeated in time.

    Alertmanager rejects an alert that ends before it starts, and keeps one that ends in the future open until then.
    Start times, and end times of alerts that are over, are therefore never after `now`.
    """
    return msgspec.json.encode([_posted(one, now, lasting_seconds) for one in notices])


def _posted(one: Notice, now: float, lasting_seconds: float) -> dict[str, Any]:
    starts_at = min(one.starts_at, now)
    ends_at = now + lasting_seconds if one.ends_at is None else max(min(one.ends_at, now), starts_at)
    return {
        "labels": dict(one.labels),
        "annotations": one.annotations,
        "startsAt": rfc3339(starts_at),
        "endsAt": rfc3339(ends_at),
    }


def _known(name: str) -> str:
    known = _NOT_IN_NAMES.sub("_", name)
    return known if known and not known[0].isdigit() else f"_{known}"


def _readable(text: str) -> str:
    """Replace lone surrogates, which JSON in UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")
