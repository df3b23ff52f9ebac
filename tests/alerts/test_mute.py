"""Mute rules: time intervals and matchers with Alertmanager's meaning, evaluated in event time and local time zones."""

from datetime import UTC, datetime
from typing import Any

import pytest

from detector.alerts.mute import HISTORY, Mutes, covers
from detector.config import parse
from detector.config.alerts import Alerts
from detector.config.mute import TimeInterval
from detector.errors import ConfigError
from detector.series import SeriesKey


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def covered(moment: str, **lists: Any) -> bool:
    return covers(TimeInterval(**lists), at(moment))


NIGHT = {"times": [{"start_time": "02:00", "end_time": "03:30"}]}


@pytest.mark.parametrize(
    ("moment", "lists", "expected"),
    [
        ("2026-11-21T12:00", {}, True),
        ("2026-11-21T01:59:59", NIGHT, False),
        ("2026-11-21T02:00", NIGHT, True),
        ("2026-11-21T03:29:59", NIGHT, True),
        ("2026-11-21T03:30", NIGHT, False),
        ("2026-11-21T23:59:59", {"times": [{"start_time": "22:00", "end_time": "24:00"}]}, True),
        ("2026-11-21T12:00", {"weekdays": ["saturday"]}, True),
        ("2026-11-22T12:00", {"weekdays": ["Monday:Friday", "sunday"]}, True),
        ("2026-11-21T12:00", {"weekdays": ["monday:friday"]}, False),
        ("2026-11-30T12:00", {"days_of_month": ["-1"]}, True),
        ("2026-11-28T12:00", {"days_of_month": ["-3:-1"]}, True),
        ("2026-11-27T12:00", {"days_of_month": ["-3:-1"]}, False),
        ("2024-02-29T12:00", {"days_of_month": ["29:31"]}, True),
        ("2026-11-05T12:00", {"days_of_month": [1, "5:-20"]}, True),
        ("2026-11-21T12:00", {"months": ["october:december"], "years": [2026]}, True),
        ("2026-11-21T12:00", {"months": ["12", 1]}, False),
        ("2026-11-21T12:00", {"years": ["2027:2030"]}, False),
    ],
)
def test_interval_covers_a_time_that_matches_one_entry_of_each_list(
    moment: str, lists: dict[str, Any], expected: bool
) -> None:
    assert covered(moment, **lists) is expected


def test_interval_follows_local_time_across_daylight_saving_changes() -> None:
    berlin = {**NIGHT, "location": "Europe/Berlin"}
    assert covered("2026-01-10T01:00", **berlin)  # 02:00 in winter
    assert covered("2026-07-10T00:00", **berlin)  # 02:00 in summer
    assert not covered("2026-07-10T01:45", **berlin)
    # 29 March: 01:59:59 is followed by 03:00, so only half an hour of the interval is left.
    assert not covered("2026-03-29T00:59:59", **berlin)
    assert covered("2026-03-29T01:00", **berlin)
    assert not covered("2026-03-29T01:30", **berlin)
    # 25 October: the hour from 02:00 comes twice.
    assert covered("2026-10-25T00:00", **berlin)
    assert covered("2026-10-25T01:59", **berlin)
    assert covered("2026-10-25T02:29", **berlin)
    assert not covered("2026-10-25T02:30", **berlin)


def test_named_interval_mutes_at_times_that_match_any_of_its_elements() -> None:
    nightly, sundays = NIGHT, {"weekdays": ["sunday"]}
    named = {"name": "quiet", "time_intervals": [nightly, sundays]}
    muted = Mutes(
        Alerts.model_validate({"time_intervals": [named], "mute": [{"matchers": [], "time_intervals": ["quiet"]}]})
    )
    found = [muted.interval(SeriesKey.of("x"), at(f"2026-11-{when}")) for when in ("21T02:30", "22T12:00", "21T12:00")]
    assert found == ["quiet", "quiet", None]
    assert muted.names == ("quiet",)


def mutes(*matchers: str) -> Mutes:
    night = {"name": "night", "time_intervals": [NIGHT]}
    return Mutes(
        Alerts.model_validate(
            {"time_intervals": [night], "mute": [{"matchers": matchers, "time_intervals": ["night"]}]}
        )
    )


@pytest.mark.parametrize(
    ("matchers", "fits"),
    [
        ((), True),
        (('host="db-1"',), True),
        (("host = db-1",), True),
        (('host=~"db-.*"', "metric=reads"), True),
        (("host=~db",), False),
        (('host!="db-1"',), False),
        (('host!~"web-.*"', 'alertname="MetricAnomaly"'), True),
        (('zone=""',), True),
        (('zone=~".+"',), False),
        (('"odd label"="a \\"b\\""',), True),
        (('exported_severity="high"',), True),
        (('host="db-1"', 'metric="writes"'), False),
    ],
)
def test_rule_applies_when_all_matchers_match_the_alert_labels(matchers: tuple[str, ...], fits: bool) -> None:
    series = SeriesKey.of("reads", {"host": "db-1", "odd label": 'a "b"', "severity": "high"})
    muted = mutes(*matchers)
    assert muted.interval(series, at("2026-11-21T02:30")) == ("night" if fits else None)
    assert muted.interval(series, at("2026-11-21T04:30")) is None


def test_samples_before_not_before_are_history() -> None:
    history = Mutes(parse("alerts: {not_before: 2026-11-21T00:00:00Z}", "test").alerts)
    assert history.names == (HISTORY,)
    assert history.interval(SeriesKey.of("x"), at("2026-11-20T23:59:59")) == HISTORY
    assert history.interval(SeriesKey.of("x"), at("2026-11-21T00:00")) is None


def test_times_and_ranges_may_be_unquoted() -> None:
    """YAML 1.1 parses these as numbers in base 60."""
    intervals = [
        "[{times: [{start_time: 22:00, end_time: 24:00}], days_of_month: [1:5], months: [1:3]}]",
        "[{times: [{start_time: '22:00', end_time: '24:00'}], days_of_month: ['1:5'], months: ['1:3']}]",
    ]
    plain, quoted = (
        parse(f"alerts: {{time_intervals: [{{name: a, time_intervals: {one}}}]}}", "test") for one in intervals
    )
    assert plain == quoted


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("times: [{start_time: 1320, end_time: '23:00'}]", "1320 is not a time of day such as"),
        ("times: [{start_time: '25:00', end_time: '26:00'}]", "'25:00' is not a time of day"),
        ("times: [{start_time: '22:00', end_time: '06:00'}]", "a night is two ranges, up to 24:00 and from 00:00"),
        ("weekdays: [mon]", "'mon' is not a range of sunday, monday"),
        ("weekdays: ['friday:monday']", "'friday:monday' ends before it begins"),
        ("weekdays: ['monday:sunday']", "'monday:sunday' ends before it begins"),
        ("days_of_month: [65]", "65 is not a range of -31 to 31"),
        ("days_of_month: ['0']", "days are 1 to 31"),
        ("days_of_month: ['-3:5']", "days are 1 to 31"),
        ("months: [13]", "13 is not a range of january"),
        ("years: ['now']", "'now' is not a range of 1970 to 2200"),
        ("location: Mars/Olympus", "'Mars/Olympus' is not a time zone known on this machine"),
        ("weekday: [monday]", "alerts.time_intervals.0.time_intervals.0.weekday: unknown key"),
    ],
)
def test_invalid_interval_is_an_error_that_names_the_fault(text: str, finding: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"alerts: {{time_intervals: [{{name: a, time_intervals: [{{{text}}}]}}]}}", "test")
    assert finding in str(raised.value)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("mute: [{time_intervals: [nights]}]", "mute.0.time_intervals: no time interval is named 'nights', did you"),
        ("mute: [{time_intervals: []}]", "alerts.mute.0.time_intervals: list should have at least 1 item"),
        ("mute: [{matchers: [host], time_intervals: [night]}]", "'host' is not a matcher such as"),
        ("mute: [{matchers: ['host=~\"(\"'], time_intervals: [night]}]", "invalid regular expression"),
        ("not_before: 2026-11-21T00:00:00", "alerts.not_before: input should have timezone info"),
    ],
)
def test_invalid_mute_rule_is_an_error_that_names_the_fault(text: str, finding: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"alerts: {{time_intervals: [{{name: night, time_intervals: [{{}}]}}], {text}}}", "test")
    assert finding in str(raised.value)
    with pytest.raises(ConfigError, match="time_intervals: night is listed twice"):
        parse("alerts: {time_intervals: [" + "{name: night, time_intervals: [{}]}," * 2 + "]}", "test")


def test_rules_are_matched_once_per_stream_with_many_muted_streams() -> None:
    """A sample costs a few microseconds; matching each one of a muted fleet against many rules costs hundreds."""
    mutes = Mutes(
        Alerts.model_validate(
            {
                "time_intervals": [{"name": "always", "time_intervals": [{}]}],
                "mute": [{"matchers": ['host=~"h.*"'], "time_intervals": ["always"]}],
            }
        )
    )
    keys = [SeriesKey.of("cpu", {"host": f"h{number}"}) for number in range(10_000)]
    for _ in range(2):
        assert {mutes.interval(key, 1.7e9) for key in keys} == {"always"}
    assert mutes._of_series.cache_info().misses == len(keys)
