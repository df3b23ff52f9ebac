"""One Kafka process, broker and controller in one, in a folder of its own."""

from __future__ import annotations

import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kafka.distribution import jars, java, stored

HOST = "127.0.0.1"
_HEAP = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")
_LAUNCH = Path(__file__).with_name("launch.py")
_LOG4J = Path(__file__).with_name("log4j2.properties")
_STARTED = "Kafka Server started"
_START_TIMEOUT_SECONDS = 300.0
_END_TIMEOUT_SECONDS = 300.0
_FIRST_PORT, _PART_PORTS, _PARTS = 12_000, 5_000, 4
_given: set[int] = set()
_BOOTSTRAP = "bootstrap.checkpoint"

BASE_PROPERTIES: Mapping[str, str | int] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENT",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    "offsets.topic.num.partitions": 3,
    "transaction.state.log.num.partitions": 3,
    "share.coordinator.state.topic.num.partitions": 1,
    "log.cleaner.dedupe.buffer.size": 4_194_304,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 1,
    "initial.broker.registration.timeout.ms": 300_000,
    "broker.session.timeout.ms": 3_000,
    "broker.heartbeat.interval.ms": 500,
    "controlled.shutdown.enable": "false",
}


class PortTaken(RuntimeError):
    """Another process took a port between choice and bind; choose again."""


class BrokerFailed(RuntimeError):
    """The process ended, or never answered; the message quotes its log."""


class Broker:
    """One node. Start it from a thread that lives on: the kernel ends it together with that thread."""

    def __init__(self, node_id: int, folder: Path, log: Path, java_options: Sequence[str] = ()) -> None:
        self.node_id = node_id
        self.folder = folder
        self.log = log
        self._java_options = java_options
        self._process: subprocess.Popen[bytes] | None = None
        self._log_position = 0

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def format(self, cluster_id: str, properties: Mapping[str, str | int]) -> None:
        """Write the configuration, and the log folder as Kafka's storage tool does. Raises BrokerFailed.

        The tool takes half of a broker's start, and writes the same for every broker. It runs once for a version of
        Kafka: the result is stored beside the jars.
        """
        data = self.folder / "log"
        data.mkdir(parents=True)
        lines = [f"{key}={value}\n" for key, value in {**properties, "log.dirs": data}.items()]
        (self.folder / "server.properties").write_text("".join(lines))
        bootstrap = jars().with_name(f"{jars().name}-{_BOOTSTRAP}")
        if not bootstrap.exists():
            arguments = ["format", "-t", cluster_id, "-c", str(self.folder / "server.properties")]
            if self._run("kafka.tools.StorageTool", arguments).wait(_START_TIMEOUT_SECONDS) != 0:
                raise BrokerFailed(f"formatting failed: {self.log.read_text(errors='replace')[-3_000:]}")
            stored(bootstrap, (data / _BOOTSTRAP).read_bytes())
            return
        shutil.copyfile(bootstrap, data / _BOOTSTRAP)
        meta = {"version": 1, "cluster.id": cluster_id, "node.id": self.node_id, "directory.id": random_id()}
        (data / "meta.properties").write_text("".join(f"{key}={value}\n" for key, value in meta.items()))

    def start(self) -> None:
        assert not self.alive, "still running"
        self._log_position = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._run("kafka.Kafka", [str(self.folder / "server.properties")])

    def wait_started(self) -> None:
        """Until it answers. Raises PortTaken or BrokerFailed."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            said = self._said()
            if _STARTED in said:
                return
            if not self.alive:
                if "Address already in use" in said:
                    raise PortTaken(f"node {self.node_id}: {self.log}")
                break
            time.sleep(0.05)
        raise BrokerFailed(f"Kafka node {self.node_id} did not start, see {self.log}:\n{self._said()[-3_000:]}")

    def stop(self) -> None:
        """SIGTERM, and wait: after a clean stop, the broker trusts its files at the next start, even changed ones."""
        if self.alive:
            self._signal(signal.SIGTERM)
            self._wait(_END_TIMEOUT_SECONDS)

    def kill(self) -> None:
        """SIGKILL; a paused broker ends too."""
        if self.alive:
            self._signal(signal.SIGKILL)
        self._wait(_END_TIMEOUT_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start again in the same folder and on the same ports, and wait until it answers."""
        self.start()
        self.wait_started()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def _wait(self, timeout_seconds: float) -> None:
        if self._process is not None:
            self._process.wait(timeout_seconds)

    def _said(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_position)
            return file.read().decode(errors="replace")

    def _run(self, main_class: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        options = [*_HEAP, *self._java_options, f"-Dlog4j2.configurationFile={_LOG4J}"]
        java_command = [java(), *options, "-cp", f"{jars()}/*", main_class]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(_LAUNCH), str(os.getpid()), *java_command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches the tests, which then stop it
            )


def random_id() -> str:
    """A UUID as Kafka writes it."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens now, below the system's range for outgoing connections.

    The caller may take a while before it listens: no port is soon returned again, and each process of a test run has
    its own part of the range.
    """
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PARTS
    found: list[int] = []
    if len(_given) > _PART_PORTS // 2:
        _given.clear()  # returned long ago
    while len(found) < count:
        port = random.randrange(_FIRST_PORT + part * _PART_PORTS, _FIRST_PORT + (part + 1) * _PART_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            found.append(port)
    return found
