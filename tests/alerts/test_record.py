"""Alert records validate against their published schema, whatever the labels are."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.record import AlertRecord, alert_id
from detector.config.alerts import MOST_ANNOTATIONS
from detector.decoders.identity import MAX_LABEL_CHARACTERS
from detector.pipeline.groups import CONTRIBUTORS
from detector.records import Alert, AlertStatus, Contributor, Direction, Severity
from detector.series import SeriesKey
from detector.streams.membership import group_key
from tests.schemas import validator

MEBIBYTE = 1 << 20
SERIES = SeriesKey.of("cpu", {"host": "web-1"})
FIRING = Alert(
    id=alert_id(SERIES, "metrics", 3, 1_700_000_000.5),
    status=AlertStatus.FIRING,
    series=SERIES,
    starts_at=1_700_000_000.5,
    ends_at=None,
    time=1_700_000_060.5,
    worst_time=1_700_000_060.5,
    value=99.0,
    expected=20.0,
    lower=15.0,
    upper=25.0,
    anomaly_score=1.8,
    direction=Direction.ABOVE,
    severity=Severity.WARNING,
    topic="metrics",
    partition=3,
    offset=77,
    model="lstm-32x1-0123456789ab",
    forecaster="lstm",
    skill=0.7,
)
RATE = replace(FIRING, per_second=True)
RESOLVED = replace(FIRING, status=AlertStatus.RESOLVED, ends_at=1_700_000_120.0, time=1_700_000_120.0)


@pytest.mark.parametrize("alert", [FIRING, RESOLVED, RATE])
def test_records_validate_against_the_published_schema(alert: Alert) -> None:
    message = AlertRecord({"team": "core"}, "detector/test")(alert)
    value = json.loads(message.value or b"")
    validator("alert").validate(value)
    assert value["labels"] == {
        "alertname": "MetricAnomaly",
        "severity": "warning",
        "metric": "cpu",
        "host": "web-1",
        "team": "core",
    }
    assert value["status"] == ("firing" if alert.ends_at is None else "resolved")
    assert value["endsAt"] == ("0001-01-01T00:00:00Z" if alert.ends_at is None else "2023-11-14T22:15:20.000000Z")
    assert value["anomaly"].get("per_second", False) is alert.per_second
    assert message.key == SERIES.fingerprint.encode()
    headers = dict(message.headers)
    assert headers["ce_id"].decode() == f"{alert.id}-{value['status']}"
    assert headers["content-type"] == b"application/json"


def test_group_alert_has_the_shared_labels_and_ranked_members() -> None:
    host = group_key(SERIES, ["host"])
    assert host is not None
    ranked = (Contributor(SERIES, 2.5), Contributor(SeriesKey.of("disk", {"host": "web-1"}), 1.25))
    alert = replace(FIRING, series=host, members=38, contributors=ranked)
    value = json.loads(AlertRecord({"team": "core"}, "detector/test")(alert).value or b"")
    validator("alert").validate(value)
    assert value["labels"] == {"alertname": "GroupAnomaly", "severity": "warning", "host": "web-1", "team": "core"}
    assert value["anomaly"]["kind"] == "group"
    assert value["anomaly"]["members"] == 38
    assert [one["labels"]["metric"] for one in value["anomaly"]["contributors"]] == ["cpu", "disk"]
    assert 'host="web-1"' in value["annotations"]["summary"]
    assert "38 streams" in value["annotations"]["summary"]


def test_annotations_of_the_configuration_name_labels_of_the_alert() -> None:
    annotations = {
        "dashboard": "https://grafana.example/d/hosts?var-host={host}&var-metric={metric}&var-rack={rack}",
        "note": "{severity}: {team} owns {host}",
    }
    encode = AlertRecord({"team": "core"}, "x", annotations)
    series = SeriesKey.of("cpu", {"host": "web 1/ä&b"})
    for one in (FIRING, RESOLVED):
        value = json.loads(encode(replace(one, series=series)).value or b"")
        validator("alert").validate(value)
        assert value["annotations"].pop("summary").startswith("cpu{host=")
        assert value["annotations"] == {
            "dashboard": "https://grafana.example/d/hosts?var-host=web%201%2F%C3%A4%26b&var-metric=cpu&var-rack=",
            "note": "warning: core owns web 1/ä&b",
        }


def test_firing_and_resolved_records_share_an_id_that_no_other_alert_has() -> None:
    encode = AlertRecord({}, "detector/test")
    firing, resolved = (json.loads(encode(a).value or b"") for a in (FIRING, RESOLVED))
    assert firing["id"] == resolved["id"]
    assert dict(encode(FIRING).headers)["ce_id"] != dict(encode(RESOLVED).headers)["ce_id"]
    others = {
        alert_id(SeriesKey.of("cpu", {"host": "web-2"}), "metrics", 3, 1_700_000_000.5),
        alert_id(SERIES, "metrics", 4, 1_700_000_000.5),
        alert_id(SERIES, "metrics", 3, 1_700_000_001.5),
    }
    assert FIRING.id not in others
    assert len(others) == 3


def test_schema_rejects_records_that_are_not_alerts() -> None:
    value = json.loads(AlertRecord({}, "x")(FIRING).value or b"")
    for damage in ({"status": "pending"}, {"startsAt": "yesterday"}, {"surplus": 1}):
        assert list(validator("alert").iter_errors({**value, **damage})), damage


def test_summary_says_what_is_unusual() -> None:
    def summary(alert: Alert) -> str:
        return str(json.loads(AlertRecord({}, "x")(alert).value or b"")["annotations"]["summary"])

    assert summary(FIRING) == 'cpu{host="web-1"} is 99, above the expected 20 (15 to 25); anomaly_score 1.80'
    below = replace(FIRING, value=1.0, direction=Direction.BELOW)
    assert "is 1, below the expected 20" in summary(below)
    rate = replace(RATE, value=3_827_100.0, expected=1.2e6, lower=0.9e6, upper=1.5e6)
    assert 'cpu{host="web-1"} rises by 3.83M a second, above the expected 1.2M (0.9M to 1.5M);' in summary(rate)
    assert "within the expected 15 to 25, but unusual for this stream" in summary(replace(FIRING, value=20.0))


def test_stream_labels_cannot_override_the_labels_of_the_alert() -> None:
    series = SeriesKey.of("cpu", {"severity": "none", "alertname": "x", "metric": "y"})
    value = json.loads(AlertRecord({}, "x")(replace(FIRING, series=series)).value or b"")
    validator("alert").validate(value)
    assert value["labels"]["severity"] == "warning"
    assert value["labels"]["exported_severity"] == "none"


def test_record_with_the_longest_labels_fits_into_a_message() -> None:
    longest = "\x01" * (MAX_LABEL_CHARACTERS - len("__name__cpuhost"))  # six bytes each in JSON
    member = SeriesKey.of("cpu", {"host": longest})
    host = group_key(member, ["host"])
    assert host is not None
    alert = replace(FIRING, series=host, members=9, contributors=(Contributor(member, 2.0),) * CONTRIBUTORS)
    notes = {f"note{number}": "{host} " * 140 for number in range(MOST_ANNOTATIONS)}
    message = AlertRecord({}, "x", notes)(alert)
    assert len(message.value or b"") < MEBIBYTE * 0.9
    value = json.loads(message.value or b"")
    validator("alert").validate(value)
    assert value["labels"]["host"] == longest
    assert len(value["annotations"]["summary"]) < 10_000


def test_different_stream_labels_give_different_alert_labels() -> None:
    encode = AlertRecord({"host": "ours", "team": "core"}, "x")
    told = set()
    for labels in (
        {"host": "a"},
        {"host": "b"},
        {"severity": "a", "exported_severity": "b"},
        {"severity": "a", "exported_severity": "c"},
        {"severity": "b", "exported_severity": "c", "exported_exported_severity": "d"},
    ):
        found = json.loads(encode(replace(FIRING, series=SeriesKey.of("cpu", labels))).value or b"")["labels"]
        assert (found["severity"], found["team"], found["metric"]) == ("warning", "core", "cpu")
        assert sorted(labels.values()) == sorted(text for text in found.values() if len(text) == 1)
        told.add(json.dumps(found))
    assert len(told) == 5


@given(name=st.text(), labels=st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_any_labels_give_a_valid_record(name: str, labels: dict[str, str]) -> None:
    series = SeriesKey.of(name, labels)
    message = AlertRecord({}, "x")(replace(FIRING, series=series))
    validator("alert").validate(json.loads(message.value or b""))


@given(
    st.dictionaries(st.text(min_size=1), st.text(), max_size=4),
    st.dictionaries(st.text(min_size=1), st.text(), max_size=4),
)
def test_fingerprints_are_equal_only_for_equal_labels(a: dict[str, str], b: dict[str, str]) -> None:
    one, two = SeriesKey.of("m", a), SeriesKey.of("m", b)
    assert (one.fingerprint == two.fingerprint) == (one == two)
