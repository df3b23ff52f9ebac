"""Every alert reaches a webhook through `kill -9` of worker and receiver, outages, handovers and reloads."""

from __future__ import annotations

import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.sinks.webhook_body import head
from tests.integration.daemon import Daemon
from tests.integration.test_alertmanager import HISTORY, HOSTS, Outage
from tests.integration.test_state import Setting
from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import Endpoint, eventually
from tests.sinks.hook import alerts_in
from tests.sinks.receivers import Receiver

pytestmark = pytest.mark.integration

READ = len(HOSTS) * (HISTORY + 3)
"""Records until the outage is seen."""
PATIENCE_SECONDS, SHORT_SECONDS = 100.0, 3.0
EXIT_SECONDS = 5.0


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """(status, host) of each alert that it got, in order."""
    heads = [head(one) for one in alerts_in(receiver.bodies)]
    return [(one.status, one.labels["host.name"]) for one in heads]


class Hooked(Outage):
    """An outage whose alerts go to a webhook and a topic."""

    def __init__(self, kafka: Endpoint, folder: Path, url: str, **section: Any) -> None:
        super().__init__(kafka, folder, [])
        self.alerts = kafka.create_topic()
        settings = {"enabled": True, "url": url, "delivery_timeout_seconds": PATIENCE_SECONDS, **section}
        self.settings["sinks"] = {"kafka": {"topic": self.alerts}, "webhook": settings}
        self.settings["source"]["kafka"]["group_instance_id"] = "one"
        self.produce(HISTORY, 100.0)
        self.produce(3, 0.0)

    def in_topic(self) -> set[bytes]:
        return {message.value() for message in self.kafka.read(self.alerts, self.kafka.end_offset(self.alerts))}

    def committed(self) -> list[int | None]:
        group = self.settings["source"]["kafka"]["group_id"]
        return [self.kafka.committed(group, self.topic, number) for number in range(len(HOSTS))]

    def nothing_unacknowledged_is_committed(self) -> bool:
        """Whether the first record that alarms, which follows the history, is not committed on any partition."""
        return all(offset is None or offset <= HISTORY for offset in self.committed())

    def wait_until_read(self) -> None:
        eventually(lambda: self.committed() == [HISTORY + 3] * len(HOSTS), "it is committed")


def test_g2_alerts_posted_but_not_committed_before_kill_9_are_posted_again_unchanged(
    kafka: Endpoint, tmp_path: Path
) -> None:
    with Receiver() as hook:
        hooked = Hooked(kafka, tmp_path, hook.url + "/hook")
        hooked.settings["checkpoint"]["interval_seconds"] = 3_600.0
        with Daemon(tmp_path, hooked.settings) as daemon:
            eventually(lambda: len(told(hook)) == 2, "the alert is posted")
            daemon.process.kill()
            daemon.process.wait()
        assert set(hooked.committed()) == {0}
        hooked.settings["checkpoint"]["interval_seconds"] = 0.5
        with Daemon(tmp_path, hooked.settings) as daemon:
            hooked.wait_until_read()
            assert sorted(told(hook)) == sorted(("firing", host) for host in 2 * HOSTS)
            hooked.produce(12, 100.0)
            eventually(lambda: len(told(hook)) == 6, "the resolved alerts are posted")
            assert daemon.terminate() == 0
        assert sorted(told(hook)[4:]) == [("resolved", host) for host in HOSTS]
        assert len(set(alerts_in(hook.bodies))) == 4
        assert set(alerts_in(hook.bodies)) == hooked.in_topic()
        assert set(hook.paths) == {"/hook"}


def test_g2_worker_waits_for_a_receiver_that_is_down_for_a_while(kafka: Endpoint, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    hooked = Hooked(kafka, tmp_path, f"http://{HOST}:{port}/canary")
    with Daemon(tmp_path, hooked.settings) as daemon:
        eventually(lambda: daemon.metric("detector_sink_failures_total", sink="webhook") > 2, "it is tried")
        assert hooked.nothing_unacknowledged_is_committed()
        with Receiver(port=port) as hook:
            hooked.wait_until_read()
            assert sorted(told(hook)) == [("firing", host) for host in HOSTS]
            assert daemon.metric("detector_sink_messages_total", sink="webhook") == 2
            assert daemon.terminate() == 0
    log = daemon.log.read_text()
    assert "the webhook does not accept alerts, trying again" in log
    assert "the webhook accepts alerts again" in log
    assert "canary" not in log


def test_g2_g3_long_outage_of_the_receiver_stops_the_worker_and_a_restart_delivers_everything(
    kafka: Endpoint, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    hooked = Hooked(kafka, tmp_path, f"http://{HOST}:{port}", delivery_timeout_seconds=1.0)
    with Daemon(tmp_path, hooked.settings) as daemon:
        assert daemon.process.wait(300) == 1
        last = daemon.log.read_text()
        assert f"alerts are not accepted; http://{HOST}:{port}: no answer (ConnectionRefusedError" in last
        assert "ended by an error" in last
    assert hooked.nothing_unacknowledged_is_committed()
    with Receiver(port=port) as hook, Daemon(tmp_path, hooked.settings) as daemon:
        hooked.wait_until_read()
        assert sorted(told(hook)) == [("firing", host) for host in HOSTS]
        assert daemon.terminate() == 0
        assert set(alerts_in(hook.bodies)) == hooked.in_topic()


def test_g2_every_alert_arrives_after_kills_of_worker_and_receiver_under_load(kafka: Endpoint, tmp_path: Path) -> None:
    setting, chance, port = Setting(kafka, tmp_path, "directory"), random.Random(7), free_ports(1)[0]
    setting.settings["source"]["kafka"]["group_instance_id"] = "one"
    setting.settings["sinks"]["webhook"] = {
        "enabled": True,
        "url": f"http://{HOST}:{port}",
        "delivery_timeout_seconds": PATIENCE_SECONDS,
        "max_alerts_per_request": 5,
    }
    posted: list[bytes] = []
    setting.produce(0, 1)
    for _ in range(3):
        with Receiver(port=port) as hook, Daemon(tmp_path, setting.settings) as daemon:
            daemon.wait_until_ready()
            time.sleep(chance.uniform(0.05, 0.8))
            daemon.process.kill()
            daemon.process.wait()
            posted += alerts_in(hook.bodies)
    with Daemon(tmp_path, setting.settings) as daemon:
        for _ in range(3):
            with Receiver(port=port) as hook:
                time.sleep(chance.uniform(0.05, 0.8))
            posted += alerts_in(hook.bodies)
            time.sleep(chance.uniform(0.05, 0.8))
        with Receiver(port=port) as hook:
            setting.wait_until_read()
            assert daemon.terminate() == 0
            posted += alerts_in(hook.bodies)
    setting.judge()
    found: dict[str, set[bytes]] = {}
    for one in posted:
        found.setdefault(f"{head(one).id}-{head(one).status}", set()).add(one)
    assert found == {identity: {value} for identity, value in setting.expected.items()}


def test_g12_hanging_receiver_does_not_delay_a_stop_and_nothing_is_lost(kafka: Endpoint, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as hanging:
        port = hanging.getsockname()[1]
        hooked = Hooked(kafka, tmp_path, f"http://{HOST}:{port}", timeout_seconds=20.0)
        hooked.settings["checkpoint"] = {"interval_seconds": 3_600.0, "shutdown_timeout_seconds": SHORT_SECONDS}
        hanging.settimeout(PATIENCE_SECONDS)
        with Daemon(tmp_path, hooked.settings) as daemon:
            request, _ = hanging.accept()
            with request:  # the second alert waits for the answer to the first: not every record may be read
                assert request.recv(1)
                status, seconds = daemon.end()
            assert status == 1
            assert seconds < SHORT_SECONDS + EXIT_SECONDS
    assert set(hooked.committed()) == {0}
    hooked.settings["checkpoint"] = {"interval_seconds": 0.5}
    with Receiver(port=port) as hook, Daemon(tmp_path, hooked.settings) as daemon:
        hooked.wait_until_read()
        assert sorted(told(hook)) == [("firing", host) for host in HOSTS]
        assert daemon.terminate() == 0


def test_alerts_are_acknowledged_before_their_partition_is_given_up(kafka: Endpoint, tmp_path: Path) -> None:
    """The next owner reads no record again, so nothing is posted twice."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with Receiver() as hook:
        hooked = Hooked(kafka, tmp_path, hook.url)
        del hooked.settings["source"]["kafka"]["group_instance_id"]
        hooked.settings["checkpoint"]["interval_seconds"] = 3_600.0
        with Daemon(folders[0], hooked.settings) as first:
            eventually(lambda: first.metric("detector_records_consumed_total") == READ, "it reads")
            with Daemon(folders[1], hooked.settings) as second:
                eventually(lambda: second.metric("detector_partitions_assigned") == 1, "one partition moves")
                hooked.produce(12, 100.0)
                eventually(lambda: len(told(hook)) >= 4, "the resolved alerts are posted")
                assert (first.terminate(), second.terminate()) == (0, 0)
        assert sorted(told(hook)) == sorted((status, host) for status in ("firing", "resolved") for host in HOSTS)


def test_g17_reload_uses_the_new_url_or_keeps_the_old_one(kafka: Endpoint, tmp_path: Path) -> None:
    path, address = tmp_path / "config.yaml", tmp_path / "address"
    with Receiver() as old, Receiver() as new:
        hooked = Hooked(kafka, tmp_path, old.url)
        with Daemon(tmp_path, hooked.settings) as daemon:
            hooked.wait_until_read()
            settings = yaml.safe_load(path.read_text())
            hook = settings["sinks"]["webhook"]
            del hook["url"]
            hook |= {"url_file": str(address), "allow_plaintext_credentials": True}
            path.write_text(yaml.safe_dump(settings))
            daemon.process.send_signal(signal.SIGHUP)
            refused = "no worker can start with the new configuration, keeping the old one"
            eventually(lambda: refused in daemon.log.read_text(), "there is no such file")
            assert f"sinks.webhook.url_file: {address} cannot be read" in daemon.log.read_text()
            daemon.wait_until_ready()
            address.write_text(f"{new.url}/secret\n")
            daemon.process.send_signal(signal.SIGHUP)
            eventually(lambda: daemon.metric("detector_config_last_reload_successful") == 1, "it is taken")
            hooked.produce(12, 100.0)
            eventually(lambda: len(told(new)) == 2, "the resolved alerts are posted there")
            assert daemon.terminate() == 0
        assert sorted(told(old)) == [("firing", host) for host in HOSTS]
        assert sorted(told(new)) == [("resolved", host) for host in HOSTS]
        assert "secret" not in daemon.log.read_text()


def test_g12_worker_suspended_while_it_waited_for_a_receiver_restarts(kafka: Endpoint, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    hooked = Hooked(kafka, tmp_path, f"http://{HOST}:{port}", delivery_timeout_seconds=12.0)
    with Daemon(tmp_path, hooked.settings) as daemon:
        eventually(lambda: daemon.metric("detector_sink_failures_total", sink="webhook") > 0, "it is tried")
        daemon.process.send_signal(signal.SIGSTOP)
        with Receiver(port=port) as hook:
            time.sleep(20.0)
            assert hook.bodies == []
            daemon.process.send_signal(signal.SIGCONT)
            hooked.wait_until_read()
            assert "the process was frozen, starting a new worker" in daemon.log.read_text()
            assert sorted(told(hook)) == [("firing", host) for host in HOSTS]
            assert daemon.terminate() == 0
