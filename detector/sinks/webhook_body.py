"""What is posted: the body of Alertmanager's webhook, version 4, around the records that the topic gets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

VERSION = "4"
RECEIVER = "detector"
_GENERATOR = b',"generatorURL":""}'
"""Alertmanager's alerts have it; where they come from is in `anomaly.source` of ours."""


class Head(msgspec.Struct, frozen=True):
    """What a body, and a line of the log, say of an alert's record."""

    id: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]


def head(record: bytes) -> Head:
    """Of an alert's record, as JSON."""
    return msgspec.json.decode(record, type=Head)


def body(records: Sequence[bytes], *, grouped: bool) -> bytes:
    """A request of these records, in this order; each of them stands in it byte for byte, but for `generatorURL`.

    Where every alert is a group of its own, and `records` hold one of it, it is `grouped` by all of its labels.
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
    """What stands in each of them."""
    first, *others = all_of
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}


def _text(labels: Mapping[str, str]) -> str:
    """As Alertmanager writes a set of labels.

    >>> _text({"metric": "cpu", "host": "a"})
    '{host="a", metric="cpu"}'
    """
    pairs = (f"{name}={json.dumps(labels[name], ensure_ascii=False)}" for name in sorted(labels))
    return "{" + ", ".join(pairs) + "}"
