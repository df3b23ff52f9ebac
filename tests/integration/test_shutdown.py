"""SIGTERM under load, while the network between daemon and broker is down or slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import Daemon
from tests.integration.test_state import STREAMS, Setting
from tests.kafka.endpoint import eventually
from tests.soak.network import Network

pytestmark = pytest.mark.integration

STEPS = 120
SAMPLES = STEPS * STREAMS
READ = int(0.6 * SAMPLES)
"""Before SIGTERM."""
EXIT_SECONDS = 5.0
"""What it takes a process to be gone when it is told to end at once, on a machine under load; stalls do not count."""


@pytest.fixture
def network(own_cluster: Any) -> Iterator[Network]:
    """The way to the broker's link 0."""
    with Network(own_cluster.links) as network:
        yield network


class Interrupted:
    """A daemon that has made next to nothing durable yet, and then its successor with the network as it should be."""

    def __init__(self, cluster: Any, network: Network, folder: Path, kind: str, deadline_seconds: float) -> None:
        self.setting = Setting(cluster.endpoint, folder, kind, STEPS)
        self.setting.settings["kafka"]["bootstrap_servers"] = network.bootstrap(0)
        self.setting.settings["source"]["kafka"]["group_instance_id"] = "one"
        self.setting.settings["checkpoint"] = {
            "interval_seconds": 3_600.0,
            "shutdown_timeout_seconds": deadline_seconds,
        }
        self.folder, self.network, self.deadline_seconds = folder, network, deadline_seconds

    def end(self, *trouble: Any) -> tuple[int, float]:
        """Exit status of a daemon that is told to end while there is this trouble, and the seconds that it took."""
        self.setting.produce(0, READ / SAMPLES)
        with Daemon(self.folder, self.setting.settings) as daemon:
            daemon.wait_until_ready()
            eventually(lambda: daemon.metric("detector_samples_consumed_total") == READ, "it reads")
            self.network.do(0, *trouble)
            status, seconds = daemon.end()
            assert seconds < self.deadline_seconds + EXIT_SECONDS
            return status, seconds

    def left(self) -> int:
        """Samples that are not committed."""
        return SAMPLES - sum(offset or 0 for offset in self.setting.committed())

    def go_on(self) -> None:
        """The next worker reaches the state of an undisturbed one."""
        self.network.do(0, "mend")
        self.setting.settings["checkpoint"]["interval_seconds"] = 0.2
        self.setting.produce(READ / SAMPLES, 1)
        with Daemon(self.folder, self.setting.settings) as daemon:
            self.setting.wait_until_read()
            assert daemon.terminate() == 0
        self.setting.judge()


@pytest.mark.parametrize("kind", ["directory", "kafka"])
def test_g2_g12_stop_behind_a_dead_network_router_is_in_time_and_loses_nothing(
    own_cluster: Any, network: Network, tmp_path: Path, kind: str
) -> None:
    interrupted = Interrupted(own_cluster, network, tmp_path, kind, 3.0)
    status, seconds = interrupted.end("stall")
    print(f"ended after {seconds:.1f} s")
    assert status == 1
    assert interrupted.left() > SAMPLES - READ
    assert "most recent call first" in (tmp_path / "daemon.log").read_text()
    interrupted.go_on()


def test_g2_g12_stop_waits_for_a_slow_broker_within_the_deadline(
    own_cluster: Any, network: Network, tmp_path: Path
) -> None:
    interrupted = Interrupted(own_cluster, network, tmp_path, "kafka", 60.0)
    status, seconds = interrupted.end("slow", 400_000)
    print(f"ended after {seconds:.1f} s")
    assert status == 0
    assert interrupted.left() == SAMPLES - READ
    interrupted.go_on()
