"""SIGHUP with a valid configuration with which no worker can start."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.daemon import Daemon
from tests.integration.test_state import Setting
from tests.kafka.endpoint import Endpoint
from tests.process.test_reload import nth_failure

pytestmark = pytest.mark.integration

UNABLE: dict[str, dict[str, Any]] = {
    "nobodys-metrics does not exist": {"source": {"kafka": {"topics": ["nobodys-metrics"]}}},
    "nobodys-state does not exist": {"state": {"type": "kafka", "kafka": {"topic": "nobodys-state"}}},
    # Known once it is a member of the group and restores.
    "the stored state does not fit this process": {"model": {"profile": "compact"}},
}
"""What is told -> what changes."""


def test_g1_g2_g17_failed_reloads_leave_state_and_alerts_unchanged(kafka: Endpoint, tmp_path: Path) -> None:
    setting, path = Setting(kafka, tmp_path, "directory"), tmp_path / "config.yaml"
    setting.produce(0, 0.4)
    with Daemon(tmp_path, setting.settings) as daemon:
        setting.wait_until_read(0.4)
        good = path.read_text()
        for count, (told, change) in enumerate(UNABLE.items(), 1):
            path.write_text(yaml.safe_dump(merged(yaml.safe_load(good), change)))
            daemon.process.send_signal(signal.SIGHUP)
            setting.produce(0.4 + 0.2 * (count - 1), 0.4 + 0.2 * count)
            assert told in nth_failure(daemon, count)
            setting.wait_until_read(0.4 + 0.2 * count)
        assert daemon.terminate() == 0
    setting.judge()


def merged(settings: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    below = {key: merged(settings.get(key, {}), value) for key, value in change.items() if isinstance(value, dict)}
    return {**settings, **change, **below}
