"""The test broker itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration


def test_shared_broker_keeps_records(kafka: Endpoint):
    topic = kafka.create_topic(partitions=2)

    kafka.produce(topic, [b"a", None, (b"key", b"b")], partition=1)

    assert [(m.key(), m.value()) for m in kafka.read(topic, 3)] == [(None, b"a"), (None, None), (b"key", b"b")]


def test_brokers_end_with_the_process_that_started_them(tmp_path: Path):
    program = f"""
import time
from pathlib import Path
from tests.kafka.cluster import Cluster
cluster = Cluster(Path({str(tmp_path)!r})).start()
print(cluster.brokers[0].pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as parent:
        assert parent.stdout is not None
        broker = int(parent.stdout.readline())
        assert _runs(broker)
        parent.send_signal(signal.SIGKILL)

    eventually(lambda: not _runs(broker), "the broker is gone")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].startswith(" Z")
    except (ProcessLookupError, FileNotFoundError):
        return False
