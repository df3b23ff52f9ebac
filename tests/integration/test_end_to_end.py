"""The whole product: an independent producer, a real broker, the daemon as a process, an independent subscriber."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from detector.synthetic import Fault, inject, streams
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import Endpoint, eventually

STREAMS, STEPS, STEP_SECONDS = 1_000, 400, 60.0
PARTITIONS = 4
KINDS = ("spike", "level_shift", "flat_line", "variance_burst", "drop_to_zero")
FAULTS_OF_A_KIND = 6
FAMILIES = ("utilisation", "daily", "counts", "traffic", "latency", "drift")
IN_TIME = 10 * STEP_SECONDS
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "alert.schema.json").read_text())


@dataclass(frozen=True)
class Fleet:
    """Streams with labelled faults."""

    times_T: np.ndarray
    values_ST: np.ndarray
    faults: dict[int, Fault]

    def records(self, first: int, end: int) -> list[list[tuple[bytes, bytes]]]:
        """[partition] -> (key, value) in order of time; a stream stays on its partition."""
        found: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
        for step in range(first, end):
            stamp = float(self.times_T[step])
            for stream in range(len(self.values_ST)):
                value = json.dumps(
                    {
                        "name": "load",
                        "labels": {"host": f"h{stream}"},
                        "timestamp": stamp,
                        "value": float(self.values_ST[stream, step]),
                    }
                )
                found[stream % PARTITIONS].append((f"h{stream}".encode(), value.encode()))
        return found


def fleet(seed: int, extra_steps: int) -> Fleet:
    """1,000 quiet streams, 30 of them with a fault: kinds take turns, streams and moments are drawn.

    A fault must be one: a stream that is always zero cannot drop to zero, a constant one cannot freeze.
    """
    rng = np.random.default_rng(seed)
    drawn = streams(seed, STREAMS, STEPS + extra_steps, STEP_SECONDS, families=FAMILIES, events=False)
    values = drawn.values_ST.copy()
    faults: dict[int, Fault] = {}
    kinds = [kind for kind in KINDS for _ in range(FAULTS_OF_A_KIND)]
    for stream in rng.permutation(STREAMS).tolist():
        if not kinds:
            break
        start = int(rng.integers(150, STEPS - 70))
        if _can_suffer(kinds[-1], values[stream, start - 100 : start]):
            faults[stream] = inject(values[stream], kinds.pop(), start, rng)
    return Fleet(drawn.times_T, values, faults)


def _can_suffer(kind: str, past: np.ndarray) -> bool:
    moving = float((np.diff(past) != 0).mean())
    if kind == "flat_line":
        return moving > 0.9
    if kind == "drop_to_zero":
        return float(past.min()) > 4 * float(past.std())
    return moving > 0.5


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_faults_are_alerted_in_time_and_a_restart_goes_on_without_a_gap(kafka: Endpoint, tmp_path: Path) -> None:
    more = 5
    metrics, alerts, group = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic(), kafka.name("group")
    config: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [metrics], "group_id": group, "start": "earliest"}},
        "sinks": {"kafka": {"topic": alerts}},
        "checkpoint": {"interval_seconds": 1.0},
    }
    truth = fleet(seed=20_251, extra_steps=more)
    first, second = truth.records(0, STEPS), truth.records(STEPS, STEPS + more)
    for partition, records in enumerate(first):
        kafka.produce(metrics, records, partition=partition)

    ends = [len(records) for records in first]
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        eventually(lambda: committed(kafka, group, metrics) == ends, "everything is committed", 180.0)
        eventually(lambda: daemon.metric("detector_samples_consumed_total") == sum(ends), "everything is counted")
        outcomes = daemon.metric("detector_samples_total")
        assert outcomes == sum(ends), "consumed = scored + late + duplicate + warmup + discarded + dead-lettered"
        assert daemon.terminate() == 0

    for partition, records in enumerate(second):
        kafka.produce(metrics, records, partition=partition)
    ends = [a + len(b) for a, b in zip(ends, second, strict=True)]
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: committed(kafka, group, metrics) == ends, "the restarted daemon caught up", 120.0)
        eventually(lambda: daemon.metric("detector_samples_consumed_total") == more * STREAMS, "no gap, no repetition")
        assert daemon.terminate() == 0

    count = kafka.end_offset(alerts)
    messages = kafka.read(alerts, count)
    assert len(messages) == count
    judge(truth, messages)


def committed(kafka: Endpoint, group: str, topic: str) -> list[int | None]:
    return [kafka.committed(group, topic, partition) for partition in range(PARTITIONS)]


def judge(truth: Fleet, messages: list[Any]) -> None:
    """At least 27 of 30 faults alerted within 10 samples, at most 5 false alerts, every record as published."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    caught: dict[int, float] = {}
    false: list[str] = []
    for message in messages:
        value = json.loads(message.value())
        validator.validate(value)
        assert message.key().decode() == value["fingerprint"]
        assert dict(message.headers())["ce_id"].decode() == f"{value['id']}-{value['status']}"
        if value["status"] != "firing":
            continue
        stream = int(value["labels"]["host"][1:])
        fault, at = truth.faults.get(stream), unix(value["startsAt"])
        if fault is None or not truth.times_T[fault.start] <= at <= truth.times_T[fault.end] + IN_TIME:
            false.append(value["annotations"]["summary"])
        else:
            caught.setdefault(stream, at - float(truth.times_T[fault.start]))
    in_time = {stream for stream, delay in caught.items() if delay <= IN_TIME}
    missed = Counter(fault.kind for stream, fault in truth.faults.items() if stream not in in_time)
    print(f"{len(in_time)} of {len(truth.faults)} faults in time, missed {dict(missed)}; {len(false)} false alerts")
    assert len(truth.faults) == 30
    assert len(in_time) >= 27, f"missed: {dict(missed)}"
    assert len(false) <= 5, "\n".join(false)
