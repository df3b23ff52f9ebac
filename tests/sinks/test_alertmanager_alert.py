"""An alert in Alertmanager's form: labels, annotations, times."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.records import Contributor
from detector.series import SeriesKey
from detector.sinks.alertmanager_alert import Notice, body, known_labels
from tests.sinks.alertmanagers import firing, noticed, resolved

NOW = 10_000.0


def posted(one: Notice, now: float = NOW) -> dict[str, Any]:
    (found,) = json.loads(body([one], now, lasting_seconds=240.0))
    assert isinstance(found, dict)
    return found


def times(one: Notice, now: float = NOW) -> tuple[float, float]:
    found = posted(one, now)
    return tuple(datetime.fromisoformat(found[name]).timestamp() for name in ("startsAt", "endsAt"))  # type: ignore[return-value]


def test_firing_and_resolved_have_the_same_labels() -> None:
    assert posted(noticed(firing()))["labels"] == posted(noticed(resolved()))["labels"]
    assert posted(noticed(firing()))["labels"] == {
        "alertname": "MetricAnomaly",
        "host": "a",
        "metric": "cpu",
        "severity": "warning",
    }


@pytest.mark.parametrize(
    ("given_labels", "known"),
    [
        ({"host.name": "a", "k8s/pod": "b"}, {"host_name": "a", "k8s_pod": "b"}),
        ({"9lives": "a", "é": "b", "": "c"}, {"_9lives": "a", "_": "c;b"}),
        ({"a.b": "2", "a-b": "1", "a_b": "3"}, {"a_b": "1;2;3"}),
        ({"a": "", "b": "x"}, {"b": "x"}),
        ({"a": "\ud800", "b\n": "line\nbreak"}, {"a": "?", "b_": "line\nbreak"}),
    ],
)
def test_label_names_are_valid_for_every_alertmanager(given_labels: dict[str, str], known: dict[str, str]) -> None:
    assert dict(known_labels(given_labels)) == known


@given(st.dictionaries(st.text(), st.text()))
def test_any_labels_become_valid_ones_whatever_their_order(labels: dict[str, str]) -> None:
    known = known_labels(labels)
    assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) and value for name, value in known)
    assert known == known_labels(dict(reversed(labels.items())))


def test_firing_alert_has_an_end_that_repetition_extends() -> None:
    assert times(noticed(firing(starts_at=9_000.0))) == (9_000.0, NOW + 240.0)


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "now", "told"),
    [
        (9_000.0, 9_060.0, NOW, (9_000.0, 9_060.0)),
        (9_990.0, 10_050.0, NOW, (9_990.0, NOW)),  # the end of an alert on a clock ahead of ours
        (10_040.0, 10_050.0, NOW, (NOW, NOW)),
        (9_000.0, 9_000.0, NOW, (9_000.0, 9_000.0)),
    ],
)
def test_times_are_not_in_the_future_and_the_end_is_not_before_the_start(
    starts_at: float, ends_at: float, now: float, told: tuple[float, float]
) -> None:
    assert times(noticed(resolved(starts_at=starts_at, ends_at=ends_at)), now) == told


def test_annotations_have_the_documented_fields() -> None:
    annotations = posted(noticed(firing(value=431.25, expected=128.5, anomaly_score=1.909)))["annotations"]
    assert annotations.pop("summary").startswith('cpu{host="a"} is 431, above the expected 128 ')
    assert annotations == {"value": "431.25", "expected": "128.5", "anomaly_score": "1.91", "direction": "above"}


def test_group_alert_names_its_members() -> None:
    ranked = tuple(Contributor(SeriesKey.of("cpu", {"core": str(n)}), 3.0 - n) for n in range(2))
    told = posted(noticed(firing(contributors=ranked)))["annotations"]["contributors"]
    assert told == 'cpu{core="0"} (3.00), cpu{core="1"} (2.00)'
