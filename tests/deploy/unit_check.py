"""The systemd unit under a real systemd: `make unit-check`, as root on Debian or Ubuntu.

pytest does not collect it: the first run installs a Debian and, by the steps of docs/deployment.md, the program with
torch, 6 GB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.deployed import PARTITIONS, SAMPLES, STREAMS, Deployed
from tests.deploy.machine import CONFIGURATION, SOURCE, Machine
from tests.deploy.tools import ROOT
from tests.integration.test_kafka_security import ADMIN, LOGIN
from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import Endpoint, eventually

TRIES = 12
CONFIG = "/etc/detector/config.yaml"
DROP_IN = "/etc/systemd/system/detector.service.d/override.conf"
CREDENTIAL = "/run/credentials/detector.service/kafka-password"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        for step in CONFIGURATION[:-1]:
            machine.do("sh", "-c", f"cd {SOURCE} && {step}")
        yield machine


@pytest.fixture
def service(machine: Machine, kafka: Endpoint) -> Iterator[Service]:
    service = Service(machine, kafka)
    service.configure()
    service.start()
    yield service
    if machine.is_up:
        service.stop()
        assert service.shows("Result") == "success"


@pytest.fixture(autouse=True)
def _no_drop_in(machine: Machine) -> Iterator[None]:
    machine.write(DROP_IN, "")
    yield
    if machine.is_up:
        machine.write(DROP_IN, "")
        machine.do("systemctl", "daemon-reload")


class Service(Deployed):
    """`detector.service` on the machine."""

    def __init__(self, machine: Machine, kafka: Endpoint, **connection: Any) -> None:
        super().__init__(kafka, **connection)
        self.machine = machine

    def configure(self, **changes: Any) -> None:
        self.machine.write(CONFIG, yaml.safe_dump({**self.config, **changes}))

    def systemctl(self, *arguments: str) -> None:
        self.machine.do("systemctl", *arguments, "detector")

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.systemctl("start")
        assert self.ask("/-/ready") == (200, "ready\n")

    def stop(self) -> None:
        self.systemctl("stop")

    def drop_in(self, line: str) -> None:
        """Override a setting until the test ends."""
        self.machine.write(DROP_IN, f"[Service]\n{line}\n")
        self.machine.do("systemctl", "daemon-reload")

    def shows(self, name: str, unit: str = "detector") -> str:
        """The value of a property such as MainPID."""
        return self.machine.do("systemctl", "show", unit, "--property", name, "--value")

    def kill(self, number: str) -> None:
        """Signal the main process behind systemd's back."""
        self.machine.do("kill", "-s", number, self.shows("MainPID"))

    def wait_until_restarted(self, before: str) -> None:
        """Wait for a process other than `before`, and until it is ready."""
        eventually(
            lambda: self.shows("MainPID") not in (before, "0") and self.shows("ActiveState") == "active",
            "it has been started again",
        )


def test_documented_steps_start_the_unit(machine: Machine, kafka: Endpoint) -> None:
    service = Service(machine, kafka)
    service.configure()
    machine.do("sh", "-c", CONFIGURATION[-1])
    service.produce()
    service.wait_until_consumed(SAMPLES)
    status = machine.do("sh", "-c", f"cat /proc/{service.shows('MainPID')}/status")
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert {int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}
    owner = machine.do("stat", "-c", "%u", "/var/lib/private/detector/state")
    assert fields["Uid"].split() == [owner] * 4
    assert owner != "0"
    service.stop()
    assert (service.shows("ActiveState"), service.shows("Result")) == ("inactive", "success")
    told = [json.loads(line) for line in machine.journal().splitlines() if line.startswith("{")]
    assert told[-1]["event"] == "stopped"


def test_reload_applies_a_whole_configuration_or_nothing(service: Service) -> None:
    process = service.shows("MainPID")
    before = service.reloaded_at()
    service.configure(scoring={"warmup_samples": 70})
    service.systemctl("reload")
    eventually(lambda: service.reloaded_at() > before, "a worker is ready with it")
    service.configure(nonsense=True)
    service.systemctl("reload")
    eventually(lambda: service.metric("detector_config_last_reload_successful") == 0, "the errors are logged")
    service.produce()
    service.wait_until_consumed(SAMPLES)
    assert (service.shows("MainPID"), service.shows("ActiveState")) == (process, "active")
    assert "nonsense: unknown key" in service.machine.journal()
    service.configure()


def test_wrong_configuration_is_not_restarted(service: Service) -> None:
    service.configure(nonsense=True)
    assert service.machine.run("systemctl", "restart", "detector").returncode == 1
    assert (service.shows("ActiveState"), service.shows("ExecMainStatus")) == ("failed", "2")
    assert service.shows("NRestarts") == "0"
    service.configure()
    service.start()


def test_unit_continues_after_kill_9(service: Service) -> None:
    service.produce()
    service.wait_until_consumed(SAMPLES)
    process = service.shows("MainPID")
    service.kill("KILL")
    service.wait_until_restarted(process)
    eventually(lambda: service.metric("detector_streams") == PARTITIONS * STREAMS, "it has its state")
    service.produce()
    eventually(lambda: service.metric("detector_samples_consumed_total") >= SAMPLES, "it reads on")


def test_hanging_worker_is_restarted(service: Service) -> None:
    service.drop_in("WatchdogSec=10")
    service.systemctl("restart")
    process = service.shows("MainPID")
    service.kill("STOP")
    service.wait_until_restarted(process)
    assert "Failed with result 'watchdog'" in service.machine.journal()


def test_worker_is_restarted_until_a_broker_answers(service: Service) -> None:
    service.drop_in("RestartSec=100ms")
    nobody = {"bootstrap_servers": [f"{HOST}:{free_ports(1)[0]}"], "request_timeout_seconds": 3}
    service.configure(kafka=nobody)
    service.machine.do("systemctl", "restart", "--no-block", "detector")

    def tried() -> bool:
        assert service.shows("ActiveState") != "failed"
        return int(service.shows("NRestarts")) > TRIES

    eventually(tried, f"it was tried {TRIES} times")
    service.configure()
    eventually(lambda: service.shows("ActiveState") == "active", "it is tried again when there is a broker")


def test_credential_is_readable_only_by_the_service(machine: Machine, make_cluster: Any) -> None:
    cluster = make_cluster(
        client_protocol="SASL_PLAINTEXT",
        client_options={"security.protocol": "SASL_PLAINTEXT", **ADMIN},
        properties={
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": LOGIN,
        },
    )
    sasl = {"mechanism": "PLAIN", "username": "detector", "password_file": CREDENTIAL}
    service = Service(machine, cluster.endpoint, allow_plaintext_credentials=True, sasl=sasl)
    service.configure()
    machine.write("/etc/detector/kafka-password", "right\n", mode=0o600)
    service.drop_in("LoadCredential=kafka-password:/etc/detector/kafka-password")
    service.start()
    service.produce()
    service.wait_until_consumed(SAMPLES)
    assert machine.run("setpriv", "--reuid=nobody", "--clear-groups", "cat", CREDENTIAL).returncode == 1
    service.stop()


def test_second_worker_takes_over_from_the_first(service: Service) -> None:
    machine, address = service.machine, f"{HOST}:{free_ports(1)[0]}"
    machine.write("/etc/detector/second.yaml", yaml.safe_dump({**service.config, "telemetry": {"listen": address}}))
    unit = (ROOT / "deploy" / "systemd" / "detector.service").read_text()
    machine.write("/etc/systemd/system/second.service", unit.replace(CONFIG, "/etc/detector/second.yaml"))
    service.produce()
    service.wait_until_consumed(SAMPLES)
    machine.do("systemctl", "daemon-reload")
    machine.do("systemctl", "start", "second")
    eventually(lambda: service.metric("detector_streams", address) == STREAMS, "the second one has its share")
    service.stop()
    eventually(lambda: service.metric("detector_streams", address) == PARTITIONS * STREAMS, "it has all of the state")
    machine.do("systemctl", "stop", "second")


def test_unit_stops_in_order_at_power_off(service: Service) -> None:
    service.produce()
    service.wait_until_consumed(SAMPLES)
    service.machine.power_off()
    last = [line for line in service.machine.journal().splitlines() if line.startswith("{")][-1]
    assert json.loads(last)["samples"] == {
        "scored": SAMPLES - 60 * PARTITIONS * STREAMS,
        "warmup": 60 * PARTITIONS * STREAMS,
    }
