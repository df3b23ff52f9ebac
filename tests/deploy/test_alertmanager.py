"""The example of routing, by Alertmanager's own program: who is told of what."""

import pytest

from tests.deploy.tools import DEPLOY, check

EXAMPLE = DEPLOY / "prometheus" / "alertmanager.yml"


def test_amtool_accepts_the_example() -> None:
    assert "1 inhibit rules" in check("amtool", "check-config", EXAMPLE)


@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("pager", ["alertname=GroupAnomaly", "severity=warning", "host=web-1"]),
        ("pager", ["alertname=DetectorDown", "severity=critical"]),
        ("chat", ["alertname=DetectorSaturated", "severity=warning"]),
        # A single stream wakes nobody, however rare its value: a fault that matters shows in its group.
        ("chat", ["alertname=MetricAnomaly", "severity=critical", "host=web-1"]),
    ],
)
def test_groups_and_the_daemon_page_and_single_streams_do_not(receiver: str, labels: list[str]) -> None:
    check("amtool", "config", "routes", "test", f"--config.file={EXAMPLE}", f"--verify.receivers={receiver}", *labels)
