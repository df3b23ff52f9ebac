"""A real Alertmanager shows each alert once and sees it resolved once, through kills and handovers."""

from __future__ import annotations

import json
import signal
import socket
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.clock import SystemClock
from detector.config.alertmanager import Alertmanager
from detector.records import Alert, AlertStatus
from detector.series import SeriesKey
from detector.sinks.alertmanager import AlertmanagerBoard
from tests.integration.alertmanager import RealAlertmanager
from tests.integration.daemon import Daemon
from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import Endpoint, eventually
from tests.sinks.alertmanagers import RECORD, firing

pytestmark = pytest.mark.integration

HISTORY, RESEND_SECONDS = 200, 30
HOSTS = ("web-0", "web-1")
"""By the partition of their metrics."""


class Outage:
    """Requests of a host on each partition, a sample a minute until a while ago."""

    def __init__(self, kafka: Endpoint, folder: Path, urls: list[str]) -> None:
        self.kafka = kafka
        self.topic = kafka.create_topic(partitions=len(HOSTS))
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {"kafka": {"topics": [self.topic], "group_id": kafka.name("group"), "start": "earliest"}},
            "sinks": {
                "kafka": {"enabled": False},
                "alertmanager": {"enabled": True, "urls": urls, "resend_seconds": RESEND_SECONDS},
            },
            "state": {"type": "directory", "directory": {"path": str(folder / "state")}},
            "checkpoint": {"interval_seconds": 0.5},
        }
        self.now = 60.0 * (time.time() // 60.0 - HISTORY - 60)
        self._rng = np.random.default_rng(3)

    def produce(self, minutes: int, level: float) -> None:
        """Samples around a level."""
        for number, host in enumerate(HOSTS):
            values = level + self._rng.normal(size=minutes)
            labels = {"host.name": host, "empty": ""}
            samples = [
                {"name": "requests", "labels": labels, "timestamp": self.now + 60 * at, "value": value}
                for at, value in enumerate(values.tolist())
            ]
            self.kafka.produce(self.topic, [json.dumps(one).encode() for one in samples], partition=number)
        self.now += 60 * minutes


def shows(manager: RealAlertmanager, *hosts: str) -> None:
    eventually(lambda: set(manager.alerts()) == set(hosts), f"{manager.url} shows {hosts}")


def wait_until_repeated(manager: RealAlertmanager, since: dict[str, dict[str, Any]]) -> None:
    """Wait until every alert was repeated; it must be the same alert, without another notification."""
    ends = {host: alert["endsAt"] for host, alert in since.items()}
    eventually(lambda: all(manager.alerts()[host]["endsAt"] > end for host, end in ends.items()), "they are repeated")
    for host, alert in manager.alerts().items():
        assert [alert[name] for name in ("fingerprint", "startsAt")] == [
            since[host][name] for name in ("fingerprint", "startsAt")
        ]


def test_g19_outage_is_one_alert_through_kill_9_until_it_resolves(kafka: Endpoint, tmp_path: Path) -> None:
    with RealAlertmanager(tmp_path / "alertmanager") as manager:
        outage = Outage(kafka, tmp_path, [manager.url])
        outage.settings["source"]["kafka"]["group_instance_id"] = "one"
        outage.produce(HISTORY, 100.0)
        began = outage.now
        outage.produce(3, 0.0)
        with Daemon(tmp_path, outage.settings) as daemon:
            shows(manager, *HOSTS)
            eventually(lambda: daemon.metric("detector_sink_alerts_waiting", sink="alertmanager") == 0, "all is told")
            first = manager.alerts()
            assert first["web-0"]["labels"] == {
                "alertname": "MetricAnomaly",
                "severity": "critical",
                "metric": "requests",
                "host_name": "web-0",
            }
            assert datetime.fromisoformat(first["web-0"]["startsAt"]).timestamp() == began
            assert first["web-0"]["annotations"]["direction"] == "below"
            assert "below the expected" in first["web-0"]["annotations"]["summary"]
            read = len(HOSTS) * (HISTORY + 3)
            eventually(lambda: daemon.metric("detector_committed_offset") == read, "no record will say it again")
            daemon.process.kill()
            daemon.process.wait()
        with Daemon(tmp_path, outage.settings) as daemon:
            wait_until_repeated(manager, first)
            outage.produce(12, 100.0)
            shows(manager)
            assert daemon.terminate() == 0
        eventually(lambda: len(manager.notified) == 4, "people hear of the ends")
        assert sorted(manager.notified[:2]) == [("firing", host) for host in HOSTS]
        assert sorted(manager.notified[2:]) == [("resolved", host) for host in HOSTS]


def test_g19_alert_moves_with_its_partition_and_reaches_an_alertmanager_that_was_down(
    kafka: Endpoint, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    port = free_ports(1)[0]
    late = RealAlertmanager(tmp_path / "late", port)
    with RealAlertmanager(tmp_path / "alertmanager") as manager:
        outage = Outage(kafka, tmp_path, [manager.url, late.url])
        outage.produce(HISTORY, 100.0)
        outage.produce(3, 0.0)
        with Daemon(folders[0], outage.settings) as first:
            shows(manager, *HOSTS)
            read = len(HOSTS) * (HISTORY + 3)
            eventually(lambda: first.metric("detector_committed_offset") == read, "a checkpoint waits for none of them")
            assert first.metric("detector_sink_alerts_waiting", sink="alertmanager") == len(HOSTS)
            assert first.metric("detector_sink_failures_total", sink="alertmanager") > 0
            with late:
                shows(late, *HOSTS)
                with Daemon(folders[1], outage.settings) as second:
                    eventually(lambda: second.metric("detector_partitions_assigned") == 1, "one partition moves")
                    wait_until_repeated(manager, manager.alerts())
                    assert first.terminate() == 0
                    eventually(lambda: second.metric("detector_partitions_assigned") == 2, "the other one moves")
                    wait_until_repeated(manager, manager.alerts())
                    assert set(late.alerts()) == set(HOSTS)
                    assert [status for status, _ in manager.notified + late.notified] == ["firing"] * 4
                    outage.produce(12, 100.0)
                    shows(manager)
                    shows(late)
                    assert second.terminate() == 0
                eventually(lambda: len(late.notified) == 4, "people hear of the ends")
                assert sorted(late.notified[2:]) == [("resolved", host) for host in HOSTS]


def test_g19_frozen_worker_does_not_repeat_an_alert_that_another_worker_resolved(
    kafka: Endpoint, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with RealAlertmanager(tmp_path / "alertmanager") as manager:
        outage = Outage(kafka, tmp_path, [manager.url])
        outage.settings["sinks"]["alertmanager"]["resend_seconds"] = 10
        outage.settings["source"]["kafka"]["session_timeout_seconds"] = 6.0
        outage.produce(HISTORY, 100.0)
        outage.produce(3, 0.0)
        with Daemon(folders[0], outage.settings) as first, Daemon(folders[1], outage.settings) as second:
            for daemon in (first, second):
                eventually(lambda one=daemon: one.metric("detector_partitions_assigned") == 1, "each has a share")  # type: ignore[misc]
            shows(manager, *HOSTS)
            first.process.send_signal(signal.SIGSTOP)
            frozen_at = time.monotonic()
            eventually(lambda: second.metric("detector_partitions_assigned") == 2, "the other one takes over")
            outage.produce(12, 100.0)
            shows(manager)
            time.sleep(max(0.0, frozen_at + 12.0 - time.monotonic()))  # a repetition is due
            first.process.send_signal(signal.SIGCONT)
            for _ in range(80):
                time.sleep(0.1)
                assert manager.alerts() == {}
            assert first.terminate() == 0
            assert second.terminate() == 0
        assert sorted(manager.notified[2:]) == [("resolved", host) for host in HOSTS]


def test_g12_hanging_alertmanager_does_not_delay_an_orderly_stop(kafka: Endpoint, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as hanging:
        outage = Outage(kafka, tmp_path, [f"http://{HOST}:{hanging.getsockname()[1]}"])
        outage.produce(HISTORY, 100.0)
        outage.produce(3, 0.0)
        with Daemon(tmp_path, outage.settings) as daemon:
            read = len(HOSTS) * (HISTORY + 3)
            eventually(lambda: daemon.metric("detector_committed_offset") == read, "no checkpoint waits for it")
            assert daemon.metric("detector_sink_alerts_waiting", sink="alertmanager") == len(HOSTS)
            assert daemon.terminate() == 0
            assert "stopped with alerts that were not accepted" in daemon.log.read_text()


def test_g19_alertmanager_shows_the_open_alerts_after_many_changes_and_its_own_crash(tmp_path: Path) -> None:
    """Alerts of a few streams, one after the other with the same labels, and partitions that are handed over."""
    rng = np.random.default_rng(5)
    still_open: dict[int, Alert] = {}
    with RealAlertmanager(tmp_path / "alertmanager") as manager:
        section = Alertmanager(enabled=True, urls=[manager.url], resend_seconds=1.0)
        board = AlertmanagerBoard(section, RECORD, SystemClock(), lambda: None)
        try:
            for step in range(400):
                time.sleep(0.025)
                stream = int(rng.integers(20))
                if stream in still_open:
                    board.update([ended(still_open.pop(stream))])
                else:
                    still_open[stream] = begun(stream)
                    board.update([still_open[stream]])
                if step % 40 == 20:
                    gone = int(rng.integers(3))
                    board.forget([("metrics", gone)])
                    board.update([one for one in still_open.values() if one.partition == gone], restored=True)
                if step == 150:
                    manager.kill()
                if step == 250:
                    manager.start()
            hosts = {f"web-{stream}" for stream in still_open}
            assert 3 < len(hosts) < 17
            eventually(lambda: set(manager.alerts()) == hosts, "it shows what is open")
            for _ in range(20):
                time.sleep(0.1)
                assert set(manager.alerts()) == hosts
            board.update([ended(one) for one in still_open.values()])
            shows(manager)
            time.sleep(1.5)
            assert manager.alerts() == {}
        finally:
            board.close(30.0)


def begun(stream: int) -> Alert:
    now = time.time()
    series = SeriesKey.of("requests", {"host.name": f"web-{stream}"})
    return replace(firing(), series=series, partition=stream % 3, starts_at=now - 5.0, time=now)


def ended(one: Alert) -> Alert:
    return replace(one, status=AlertStatus.RESOLVED, ends_at=time.time() - 1.0)
