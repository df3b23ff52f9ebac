import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog import get_logger

from detector.telemetry import Health, Metrics, Notifier, Telemetry, new_registry
from tests.telemetry.populate import counts


class Manager:
    """The receiving end of the protocol."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        try:
            while True:
                found.append(self.socket.recv(4_096).decode())
        except BlockingIOError:
            return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[tuple[Manager, str]]:
    path = str(tmp_path / "notify")
    made = Manager(path)
    yield made, path
    made.socket.close()


def test_messages_to_the_service_manager(manager: tuple[Manager, str]) -> None:
    heard, path = manager
    notifier = Notifier({"NOTIFY_SOCKET": path}, lambda: 0.0)
    notifier.ready()
    notifier.status("two\nlines")
    notifier.stopping()
    assert heard.heard() == ["READY=1", "STATUS=two lines", "STOPPING=1"]


def test_status_is_the_condition_of_the_worker(manager: tuple[Manager, str]) -> None:
    heard, path = manager
    health, notifier = Health(60.0, lambda: 0.0), Notifier({"NOTIFY_SOCKET": path}, lambda: 0.0)
    telemetry = Telemetry(Metrics(new_registry()), health, notifier, get_logger())
    now = counts(tracked=1_000, partitions={("metrics", 0): (1.0, 400), ("metrics", 3): (1.0, 600)})
    telemetry.not_ready("waiting for an assignment")
    telemetry.observe_streams(now)
    telemetry.ready()
    telemetry.observe_streams(now)
    why, how = "STATUS=waiting for an assignment", "STATUS=2 partitions, 1000 streams, 3 alerts firing"
    assert heard.heard() == [why, "READY=1", how]


def test_abstract_socket() -> None:
    name = f"detector-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    Notifier({"NOTIFY_SOCKET": f"@{name}"}, lambda: 0.0).ready()
    assert manager.heard() == ["READY=1"]
    manager.socket.close()


def test_watchdog_pings_follow_progress_at_a_limited_rate(manager: tuple[Manager, str]) -> None:
    heard, path = manager
    now = 100.0
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "8000000"}, lambda: now)
    assert notifier.watchdog_seconds == 8.0
    for _ in range(1_000):
        notifier.progress()
        now += 0.01
    assert heard.heard() == ["WATCHDOG=1"] * 5


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "many"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid() + 1)}],
)
def test_no_pings_without_a_watchdog_for_this_process(
    manager: tuple[Manager, str], environment: dict[str, str]
) -> None:
    heard, path = manager
    notifier = Notifier({"NOTIFY_SOCKET": path, **environment}, lambda: 0.0)
    notifier.progress()
    assert heard.heard() == []


def test_missing_socket_is_ignored() -> None:
    for path in ("", "/nonexistent/notify"):
        Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000"}, lambda: 0.0).ready()
