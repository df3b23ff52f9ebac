"""Every alert of rules.yaml: a case in which it must fire and one in which it must not, run by promtool."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.deploy.tools import DEPLOY, check

RULES = DEPLOY / "prometheus" / "rules.yaml"
MINUTES = 600


@dataclass(frozen=True)
class Case:
    """Series as name -> values in promtool's notation, one a minute; the time to ask at."""

    fires: dict[str, str]
    quiet: dict[str, str]
    minute: int = 60
    extra: list[dict[str, str]] = field(default_factory=list)
    """More sets of series at which it must fire."""


def steady(value: float) -> str:
    return f"{value}+0x{MINUTES}"


def rising(per_minute: float) -> str:
    return f"0+{per_minute}x{MINUTES}"


def burst(value: float, at: int = 50) -> str:
    """0, and from minute `at` on `value`."""
    return f"0+0x{at} {value}+0x{MINUTES - at}"


SAMPLES = "detector_samples_consumed_total"
RECORDS = "detector_records_consumed_total"
BAD_VALUE = 'detector_samples_discarded_total{reason="not_finite"}'
FIRED, GROUPS_FIRED = (f'detector_alerts_total{{kind="{kind}", status="firing"}}' for kind in ("stream", "group"))
PARTITION = '{topic="metrics", partition="0"}'
BUSY, POLL = 'detector_stage_seconds_total{stage="pipeline"}', 'detector_stage_seconds_total{stage="poll"}'
IN_BATCHES = " ".join(str(100 * minute - (100 if minute % 10 else 0)) for minute in range(MINUTES))
CASES = {
    "DetectorDown": Case({"up": steady(0)}, {"up": steady(1)}, extra=[{}]),
    "DetectorNotReady": Case({"detector_ready": steady(0)}, {"detector_ready": "0+0x55 1+0x600"}),
    "DetectorRestarting": Case(
        {"process_start_time_seconds": " ".join(f"{at} {at} _ _ _" for at in range(0, MINUTES, 5))},
        {"process_start_time_seconds": " ".join(f"{at // 10} _ _ _ _" for at in range(0, MINUTES, 5))},
    ),
    "DetectorReloadFailed": Case(
        {"detector_config_last_reload_successful": steady(0)},
        {"detector_config_last_reload_successful": "0+0x55 1+0x600"},
    ),
    "DetectorBehind": Case(
        {f"detector_event_timestamp_seconds{PARTITION}": steady(0), f"detector_lag_records{PARTITION}": steady(9)},
        # Nothing more to read: the producers are silent, the worker is not behind.
        {f"detector_event_timestamp_seconds{PARTITION}": steady(0), f"detector_lag_records{PARTITION}": steady(0)},
    ),
    "DetectorSaturated": Case({BUSY: rising(57), POLL: rising(3)}, {BUSY: rising(30), POLL: rising(30)}),
    "DetectorNoRecords": Case(
        {RECORDS: steady(5), "detector_partitions_assigned": steady(2)},
        # A spare worker owns nothing and reads nothing.
        {RECORDS: steady(5), "detector_partitions_assigned": steady(0)},
    ),
    "DetectorSourceFailing": Case(
        {'detector_source_errors_total{reason="broker_unreachable"}': rising(6)},
        {'detector_source_errors_total{reason="broker_unreachable"}': burst(3)},
    ),
    "DetectorRebalancing": Case({"detector_rebalances_total": rising(1)}, {"detector_rebalances_total": burst(3)}),
    "DetectorCheckpointStale": Case(
        {"detector_checkpoint_timestamp_seconds": steady(0), "detector_partitions_assigned": steady(1)},
        {"detector_checkpoint_timestamp_seconds": "0+60x600", "detector_partitions_assigned": steady(1)},
    ),
    "DetectorSinkFailing": Case(
        {'detector_sink_failures_total{sink="kafka"}': rising(1)},
        {'detector_sink_failures_total{sink="kafka"}': steady(7)},
    ),
    "DetectorRecordsRejected": Case(
        {'detector_records_rejected_total{reason="not_json"}': rising(2), RECORDS: rising(100)},
        {
            'detector_records_rejected_total{reason="not_json"}': rising(0.5),
            'detector_records_rejected_total{reason="no_numbers"}': rising(50),
            RECORDS: rising(100),
        },
    ),
    "DetectorRecordsSkipped": Case(
        {'detector_records_skipped_total{reason="corrupt"}': burst(5, at=80)},
        {'detector_records_skipped_total{reason="corrupt"}': steady(5)},
        minute=90,
        extra=[{'detector_records_skipped_total{reason="corrupt"}': f"_x80 5+0x{MINUTES - 80}"}],
    ),
    "DetectorSamplesDiscarded": Case(
        {BAD_VALUE: rising(2), SAMPLES: rising(100)},
        {
            BAD_VALUE: rising(0.5),
            'detector_samples_discarded_total{reason="gap"}': rising(50),
            'detector_samples_discarded_total{reason="counter_start"}': rising(50),
            SAMPLES: rising(100),
        },
    ),
    "DetectorSamplesLate": Case(
        {'detector_samples_total{outcome="late"}': rising(6), SAMPLES: rising(100)},
        {'detector_samples_total{outcome="scored"}': rising(100), SAMPLES: rising(100)},
    ),
    "DetectorStreamsSilent": Case(
        {"detector_streams_active": "1000+0x80 970+0x600"},
        {"detector_streams_active": "10000+0x80 9950+0x600"},
        minute=100,
    ),
    "DetectorStreamLimit": Case(
        {'detector_samples_discarded_total{reason="stream_limit"}': rising(1)},
        {"detector_streams_fullest_partition_ratio": steady(0.9)},
        extra=[{"detector_streams_fullest_partition_ratio": steady(0.99)}],
    ),
    "DetectorSeriesSplit": Case(
        {"detector_streams_split_total": steady(40)},
        {"detector_streams_split_total": steady(0)},
    ),
    "DetectorSamplesUnaccounted": Case(
        {SAMPLES: rising(100), 'detector_samples_total{outcome="scored"}': rising(99)},
        # At nine scrapes of ten a batch is under way.
        {SAMPLES: rising(100), 'detector_samples_total{outcome="scored"}': IN_BATCHES},
        minute=180,
    ),
    "DetectorManyStreamsAnomalous": Case(
        {"detector_alerts_firing": steady(60), "detector_streams": steady(1_000)},
        {"detector_alerts_firing": steady(60), "detector_streams": steady(10_000)},
    ),
    "DetectorAlertBudgetExceeded": Case(
        {
            FIRED: rising(1),
            "detector_stream_watched_seconds_total": rising(60_000),
            "detector_alert_budget_per_stream_week": steady(0.1),
        },
        {
            FIRED: rising(1),
            GROUPS_FIRED: rising(1_000),
            "detector_stream_watched_seconds_total": rising(6_000_000),
            "detector_alert_budget_per_stream_week": steady(0.1),
        },
        minute=300,
    ),
    "DetectorModelOutperformed": Case(
        {"detector_streams": steady(1_000), "detector_streams_fallback": steady(600)},
        {"detector_streams": steady(50), "detector_streams_fallback": steady(50)},
        minute=500,
    ),
}


def test_every_alert_has_a_case() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules if "alert" in rule} == set(CASES)


def test_alerts_fire_when_they_must_and_not_otherwise(tmp_path: Path) -> None:
    tests = []
    for alert, case in CASES.items():
        tests += [_test(alert, series, case.minute, fires=True) for series in (case.fires, *case.extra)]
        tests.append(_test(alert, case.quiet, case.minute, fires=False))
    path = tmp_path / "rules_test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    check("promtool", "test", "rules", path)


def test_alert_annotations(tmp_path: Path) -> None:
    alert = {
        "eval_time": "30m",
        "alertname": "DetectorSinkFailing",
        "exp_alerts": [
            {
                "exp_labels": {"severity": "critical", "job": "detector", "instance": "a", "sink": "kafka"},
                "exp_annotations": {
                    "runbook_url": "docs/runbook.md#detectorsinkfailing",
                    "summary": "Alerts do not reach their receivers",
                    "description": "a cannot deliver to kafka. Reading waits until it can, except for Alertmanager.",
                },
            }
        ],
    }
    series = _series(CASES["DetectorSinkFailing"].fires)
    test = {"interval": "1m", "input_series": series, "alert_rule_test": [alert]}
    path = tmp_path / "rules_test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    check("promtool", "test", "rules", path)


def test_alerts_a_week_are_no_thousandths(tmp_path: Path) -> None:
    """`humanize` writes 0.62 as `620m`, which reads as millions."""
    case = CASES["DetectorAlertBudgetExceeded"]
    annotations = {
        "runbook_url": "docs/runbook.md#detectoralertbudgetexceeded",
        "summary": "More alerts than the budget allows",
        "description": "0.62 alerts per stream and week; scoring.alerts_per_stream_week is less than a third of it.",
    }
    alert = {
        "eval_time": "300m",
        "alertname": "DetectorAlertBudgetExceeded",
        "exp_alerts": [{"exp_labels": {"severity": "warning", "job": "detector"}, "exp_annotations": annotations}],
    }
    watched = {**case.fires, "detector_stream_watched_seconds_total": rising(970_000)}
    test = {"interval": "1m", "input_series": _series(watched), "alert_rule_test": [alert]}
    path = tmp_path / "rules_test.yaml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    check("promtool", "test", "rules", path)


def _test(alert: str, series: dict[str, str], minute: int, fires: bool) -> dict[str, object]:
    expected = [{"labels": "{}", "value": 1}] if fires else []
    firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    return {
        "name": f"{alert} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": _series(series),
        "promql_expr_test": [{"expr": firing, "eval_time": f"{minute}m", "exp_samples": expected}],
    }


def _series(series: dict[str, str]) -> list[dict[str, str]]:
    """Every series is that of worker `a`."""
    found = []
    for name, values in series.items():
        name, _, labels = name.partition("{")
        rest = f", {labels}" if labels else "}"
        found.append({"series": f'{name}{{job="detector", instance="a"{rest}', "values": values})
    return found
