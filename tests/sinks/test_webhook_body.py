"""The body of a request: the form of Alertmanager's webhook, with the records of the topic as alerts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts import AlertRecord
from detector.sinks.webhook_body import body, head
from tests.schemas import validator
from tests.sinks.alertmanagers import firing, resolved

RECORD = AlertRecord({"env": "test"}, "test")
FIELDS = ["receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "version"]
FIELDS += ["groupKey", "truncatedAlerts"]
"""As Alertmanager 0.25 sends them."""
ALERT_FIELDS = {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}


def record(one) -> bytes:
    value = RECORD(one).value
    assert value is not None
    return value


def test_body_has_the_fields_of_alertmanagers_webhook() -> None:
    told = json.loads(body([record(firing())], grouped=False))
    assert list(told) == FIELDS
    assert told["alerts"][0].keys() >= ALERT_FIELDS
    assert (told["version"], told["receiver"], told["externalURL"]) == ("4", "detector", "")
    assert (told["groupKey"], told["groupLabels"], told["truncatedAlerts"]) == ("{}:{}", {}, 0)


def test_alerts_of_the_body_are_the_records_of_the_topic_byte_for_byte() -> None:
    records = [record(replace(one, id=32 * "0")) for one in (firing("é"), resolved("b"))]
    whole = body(records, grouped=False)
    for one in records:
        assert one[:-1] in whole
    for told, one in zip(json.loads(whole)["alerts"], records, strict=True):
        validator("alert").validate(told)
        assert {name: value for name, value in told.items() if name != "generatorURL"} == json.loads(one)


@pytest.mark.parametrize(
    ("alerts", "status"),
    [
        ([firing("a"), resolved("b")], "firing"),
        ([resolved("a"), firing("b")], "firing"),
        ([resolved("a"), resolved("b")], "resolved"),
    ],
)
def test_body_is_firing_if_one_alert_is(alerts, status: str) -> None:
    assert json.loads(body([record(one) for one in alerts], grouped=False))["status"] == status


def test_shared_labels_are_common() -> None:
    told = json.loads(body([record(firing("a")), record(resolved("b"))], grouped=False))
    assert told["commonLabels"] == {"env": "test", "alertname": "MetricAnomaly", "metric": "cpu", "severity": "warning"}
    assert told["commonAnnotations"] == {}
    alone = json.loads(body([record(firing("a"))], grouped=False))
    assert alone["commonLabels"] == alone["alerts"][0]["labels"]
    assert alone["commonAnnotations"] == alone["alerts"][0]["annotations"]


def test_single_alert_has_the_same_group_key_firing_and_resolved() -> None:
    begun, ended = (json.loads(body([record(one)], grouped=True)) for one in (firing("a"), resolved("a")))
    assert begun["groupKey"] == ended["groupKey"]
    assert begun["groupKey"] == (
        '{}:{alertname="MetricAnomaly", env="test", host="a", metric="cpu", severity="warning"}'
    )
    assert begun["groupLabels"] == begun["alerts"][0]["labels"]
    assert json.loads(body([record(firing("b"))], grouped=True))["groupKey"] != begun["groupKey"]


@given(host=st.text(max_size=50))
def test_body_is_valid_for_any_label(host: str) -> None:
    one = record(firing(host))
    told = json.loads(body([one], grouped=True))
    assert told["groupLabels"] == told["commonLabels"] == head(one).labels
    assert told["groupLabels"].get("host", "") == host
