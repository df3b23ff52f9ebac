"""G6 and G11 with a real broker and daemon: half of the input undecodable, no place for dead letters, a slow reader."""

from __future__ import annotations

import fcntl
import json
import random
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from detector.worker.outlets import NO_FAULTS
from tests.decoders.poison import POISON
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint, eventually

pytestmark = pytest.mark.integration

PREFIX = "detector_dead_letter_"
START = 1_700_000_000
RANDOM_BYTES = 400
MAX_VALUE_BYTES = 100_000


def good(stream: int, step: int, value: float = 1.0) -> bytes:
    return json.dumps({"name": f"s{stream}", "timestamp": START + 10 * step, "value": value}).encode()


def rubbish(seed: int) -> list[tuple[bytes | None, str | None]]:
    """Every known kind of poison with its reason, and bytes that nobody thought of."""
    rng = random.Random(seed)
    found: list[tuple[bytes | None, str | None]] = [(value, reason) for value, reason in POISON if small(value)]
    for _ in range(RANDOM_BYTES):
        noise = rng.randbytes(rng.randrange(1, 60))
        broken = bytearray(good(1, 1))
        broken[rng.randrange(len(broken))] = rng.randrange(128, 256)
        found.append((bytes(broken) if rng.random() < 0.5 else noise, None))
    rng.shuffle(found)
    return found


def small(value: bytes | None) -> bool:
    """Fits into a record of this broker."""
    return len(value or b"") < 900_000


def config_for(kafka: Endpoint, metrics: str, **more: Any) -> dict[str, Any]:
    return {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [metrics], "group_id": kafka.name("group"), "start": "earliest"}},
        "sinks": {"kafka": {"topic": kafka.create_topic(), "delivery_timeout_seconds": 10.0}},
        "checkpoint": {"interval_seconds": 0.2},
        **more,
    }


def test_g6_undecodable_half_of_the_load_becomes_dead_letters_without_slowing_the_rest(kafka: Endpoint, tmp_path: Path):
    metrics, dead = kafka.create_topic(partitions=2), kafka.create_topic()
    poison = rubbish(11)
    mixed = [record for number, (value, _) in enumerate(poison) for record in (value, good(number % 7, number))]
    clean = [good(100 + number % 7, number) for number in range(len(poison))]
    kafka.produce(metrics, mixed, partition=0)
    kafka.produce(metrics, clean, partition=1)
    config = config_for(kafka, metrics, dead_letter={"topic": dead, "max_value_bytes": MAX_VALUE_BYTES})
    group = config["source"]["kafka"]["group_id"]

    with Daemon(tmp_path, config) as daemon:
        ends = [len(mixed), len(clean)]
        eventually(lambda: [kafka.committed(group, metrics, p) for p in (0, 1)] == ends, "all is committed")
        eventually(lambda: daemon.metric("detector_lag_records") == 0, "nobody is behind")
        counted = daemon.metric("detector_samples_total", outcome="dead_lettered")
        assert daemon.metric("detector_samples_total") == daemon.metric("detector_samples_consumed_total")
        assert daemon.terminate() == 0

    letters = kafka.read(dead, kafka.end_offset(dead))
    by_offset: dict[int, Any] = {}
    for letter in letters:
        headers = {name.removeprefix(PREFIX): value.decode() for name, value in letter.headers()}
        assert (headers["topic"], headers["partition"]) == (metrics, "0")
        by_offset[int(headers["offset"])] = (letter.value(), headers)
    for number, (value, reason) in enumerate(poison):
        if reason is None or reason in NO_FAULTS:
            continue
        found, headers = by_offset[2 * number]
        assert headers["reason"] == reason
        if len(value or b"") <= MAX_VALUE_BYTES:
            assert found == (value or b"")
        else:
            assert headers["value_bytes"] == str(len(value or b""))
    assert all(offset % 2 == 0 for offset in by_offset), "nothing good is among them"
    assert len(letters) == len(by_offset) <= counted
    unknown = sum(1 for number, (_, reason) in enumerate(poison) if reason is None and 2 * number in by_offset)
    assert unknown > RANDOM_BYTES * 0.9


def test_g6_worker_stops_without_a_commit_when_dead_letters_cannot_be_written(kafka: Endpoint, tmp_path: Path):
    metrics, dead = kafka.create_topic(), kafka.create_topic()
    config = config_for(kafka, metrics, dead_letter={"topic": dead})
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        kafka.delete_topic(dead)
        kafka.produce(metrics, [good(1, 0), b"{poison", good(1, 1)])
        assert daemon.process.wait(PATIENCE_SECONDS) == 1
        assert f"topic {dead}" in daemon.log.read_text()
    assert kafka.committed(config["source"]["kafka"]["group_id"], metrics) == 0


def test_g11_reader_that_stops_makes_the_lag_grow_but_not_the_memory(kafka: Endpoint, tmp_path: Path):
    metrics, streams, steps = kafka.create_topic(), 300, 62
    config = config_for(kafka, metrics)
    config["sinks"] = {"kafka": {"enabled": False}, "stdout": {"enabled": True}}
    group = config["source"]["kafka"]["group_id"]
    values = [[1e6 if step == steps - 1 else float(step % 3)] * streams for step in range(steps)]
    loud = [good(stream, step, value) for step, row in enumerate(values) for stream, value in enumerate(row)]
    kafka.produce(metrics, loud)
    filler = json.dumps({"name": "other", "labels": {"x": "y" * 1_000}, "timestamp": START, "value": 1}).encode()

    with Daemon(tmp_path, config, stdout=subprocess.PIPE) as daemon:
        assert daemon.process.stdout is not None
        assert daemon.process.stdout.readline(), "alerts come, and more than fit into the pipe"
        eventually(lambda: waiting(daemon) >= HALF_A_PIPE, "the pipe is full")
        time.sleep(2.0)
        before = resident_mib(daemon)
        kafka.produce(metrics, [filler] * FILLERS)
        time.sleep(5.0)
        grown = resident_mib(daemon) - before
        behind = kafka.end_offset(metrics) - (kafka.committed(group, metrics) or 0)
        print(f"{FILLERS * len(filler) >> 20} MiB came, {behind} records behind, {grown:.1f} MiB more resident")
        assert behind >= FILLERS
        assert grown < 24.0
        assert daemon.get("/-/healthy")[0] == 200
        subscriber = threading.Thread(target=daemon.process.stdout.read, daemon=True)
        subscriber.start()
        eventually(lambda: (kafka.committed(group, metrics) or 0) >= len(loud), "it continues once it is read")


FILLERS = 60_000
HALF_A_PIPE = 32_768
"""Bytes: with a message that does not fit behind, a pipe of 64 KiB may be full from here on."""


def waiting(daemon: Daemon) -> int:
    """Bytes in the pipe that is the daemon's standard output."""
    assert daemon.process.stdout is not None
    found = fcntl.ioctl(daemon.process.stdout, termios.FIONREAD, bytes(4))
    return int.from_bytes(found, sys.byteorder)


def resident_mib(daemon: Daemon) -> float:
    return float(psutil.Process(daemon.process.pid).memory_info().rss) / (1 << 20)
