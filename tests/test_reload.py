"""G17: a reload is all or nothing. A daemon that reads a file that grows, as an operator runs it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import yaml

from tests.integration.daemon import Daemon
from tests.kafka.endpoint import eventually


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.log.read_text().splitlines()]


def events(daemon: Daemon) -> list[str]:
    return [line["event"] for line in lines(daemon)]


def following(path: Path) -> dict[str, Any]:
    """Settings of a daemon that reads a file that grows."""
    path.write_text('{"name": "a", "timestamp": 1700000000, "value": 1}\n')
    return {
        "source": {"type": "file", "file": {"paths": [str(path)], "follow": True}},
        "sinks": {"kafka": {"enabled": False}, "stdout": {"enabled": True}},
    }


def test_g17_a_reload_takes_all_of_a_configuration_or_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        daemon.wait_until_ready()
        path = tmp_path / "config.yaml"
        good = path.read_text()
        assert daemon.metric("detector_alert_budget_per_stream_week") == 0.1

        broken = {"scoring": {"alerts_per_stream_week": 3.0, "band_coverage": 2}, "streams": {"max_stream": 1}}
        path.write_text(yaml.safe_dump({**yaml.safe_load(good), **broken}))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "configuration has errors, nothing changes" in events(daemon), "the errors are told")
        (told,) = [line["error"] for line in lines(daemon) if line["event"].startswith("configuration has errors")]
        assert "scoring.band_coverage" in told
        assert "streams.max_stream: unknown key" in told
        assert daemon.get("/-/ready")[0] == 200
        assert daemon.metric("detector_alert_budget_per_stream_week") == 0.1

        path.write_text(yaml.safe_dump({**yaml.safe_load(good), "scoring": {"alerts_per_stream_week": 3.0}}))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.metric("detector_alert_budget_per_stream_week") == 3.0, "the new one holds")
        daemon.wait_until_ready()
        assert events(daemon).count("started") == 2
        assert daemon.terminate() == 0


def test_a_hail_of_reloads_ends_nothing(tmp_path: Path) -> None:
    """Whoever hears no SIGHUP is ended by it: also between one worker and the next."""
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        daemon.wait_until_ready()
        while events(daemon).count("started") < 6:
            assert daemon.process.poll() is None
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)
        daemon.wait_until_ready()
        assert daemon.terminate() == 0
