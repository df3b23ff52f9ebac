"""The request body: Alertmanager's webhook format, version 4, around the same records that go to the topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

VERSION = "4"
RECEIVER = "detector"
_GENERATOR = b',"generatorURL":""}'
"""A field of Alertmanager's alerts; ours give their origin in `anomaly.source`."""


class Head(msgspec.Struct, frozen=True):
    """The fields of an alert record that the body and log lines repeat."""

    id: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


def head(record: bytes) -> Head:
    """Read them from an alert record in JSON."""
    return msgspec.json.decode(record, type=Head)


def body(records: Sequence[bytes], *, grouped: bool) -> bytes:
    """The body for these records, in order; each appears byte for byte, with `generatorURL` added.

    If every alert is its own group, so that `records` holds one, it is `grouped` by all of its labels.
    """
    heads = [head(record) for record in records]
    group = heads[0].labels if grouped else {}
    whole: dict[str, Any] = {
        "receiver": RECEIVER,
        "status": "firing" if any(one.status == "firing" for one in heads) else "resolved",
        "alerts": [msgspec.Raw(record[:-1] + _GENERATOR) for record in records],
        "groupLabels": group,
        "commonLabels": _common([one.labels for one in heads]),
        "commonAnnotations": _common([one.annotations for one in heads]),
        "externalURL": "",
        "version": VERSION,
        "groupKey": "{}:" + _text(group),
        "truncatedAlerts": 0,
    }
    return msgspec.json.encode(whole)


def _common(all_of: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The entries that all of them share."""
    first, *others = all_of
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}


def _text(labels: Mapping[str, str]) -> str:
    """A set of labels as Alertmanager writes it.

    >>> _text({"metric": "cpu", "host": "a"})
    '{host="a", metric="cpu"}'
    """
    pairs = (f"{name}={json.dumps(labels[name], ensure_ascii=False)}" for name in sorted(labels))
    return "{" + ", ".join(pairs) + "}"
