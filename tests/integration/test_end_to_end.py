"""The whole product: an independent producer, a real broker, the daemon as a process, an independent subscriber."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.synthetic import START
from detector.synthetic.fleet import Fleet, fleet
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import Endpoint, eventually
from tests.schemas import validator

STREAMS, STEPS, STEP_SECONDS = 1_000, 400, 10.0
PARTITIONS = 4
KINDS = ("spike", "level_shift", "flat_line", "variance_burst", "drop_to_zero")
FAULTS = 30
IN_TIME = 10 * STEP_SECONDS


def truth_for(seed: int, steps: int) -> Fleet:
    """1,000 quiet streams, 30 of them with a fault: kinds take turns, streams and moments are drawn."""
    rng = np.random.default_rng(seed)
    faults = rng.integers(150, STEPS - 70, size=FAULTS).tolist()
    return fleet(seed, STREAMS, steps, STEP_SECONDS, start=START, faults=faults, kinds=KINDS)


def records(truth: Fleet, first: int, end: int) -> list[list[tuple[bytes, bytes]]]:
    """[partition] -> (key, value) in order of time; a stream stays on its partition."""
    found: list[list[tuple[bytes, bytes]]] = [[] for _ in range(PARTITIONS)]
    for step in range(first, end):
        stamp = float(truth.times_T[step])
        for stream, value in enumerate(truth.values_ST[:, step].tolist()):
            sample = {"name": truth.names[stream], "labels": truth.labels[stream], "timestamp": stamp, "value": value}
            found[stream % PARTITIONS].append((str(stream).encode(), json.dumps(sample).encode()))
    return found


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.integration
def test_faults_are_alerted_in_time_and_a_restart_leaves_no_gap(kafka: Endpoint, tmp_path: Path) -> None:
    more = 5
    metrics, alerts, group = kafka.create_topic(partitions=PARTITIONS), kafka.create_topic(), kafka.name("group")
    config: dict[str, Any] = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [metrics], "group_id": group, "start": "earliest"}},
        "sinks": {"kafka": {"topic": alerts}},
        "checkpoint": {"interval_seconds": 1.0},
    }
    truth = truth_for(seed=20_251, steps=STEPS + more)
    first, second = records(truth, 0, STEPS), records(truth, STEPS, STEPS + more)
    for partition, batch in enumerate(first):
        kafka.produce(metrics, batch, partition=partition)

    ends = [len(batch) for batch in first]
    with Daemon(tmp_path, config) as daemon:
        daemon.wait_until_ready()
        reached: list[int | None] = []

        def all_is_committed() -> bool:
            reached[:] = committed(kafka, group, metrics)
            return reached == ends

        eventually(all_is_committed, "more is committed", progress=lambda: tuple(reached))
        eventually(lambda: daemon.metric("detector_samples_consumed_total") == sum(ends), "everything is counted")
        assert daemon.metric("detector_samples_total") == sum(ends), (
            "consumed = scored + late + duplicate + warmup + discarded + dead-lettered"
        )
        assert daemon.terminate() == 0

    for partition, batch in enumerate(second):
        kafka.produce(metrics, batch, partition=partition)
    ends = [a + len(b) for a, b in zip(ends, second, strict=True)]
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: committed(kafka, group, metrics) == ends, "the restarted daemon caught up")
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
    fault_of = {truth.key(fault.stream).fingerprint: fault for fault in truth.faults}
    delay_of: dict[str, float] = {}
    false: list[str] = []
    for message in messages:
        value = json.loads(message.value())
        validator("alert").validate(value)
        assert message.key().decode() == value["fingerprint"]
        assert dict(message.headers())["ce_id"].decode() == f"{value['id']}-{value['status']}"
        if value["status"] != "firing":
            continue
        stream, at = value["fingerprint"], unix(value["startsAt"])
        fault = fault_of.get(stream)
        if fault is None or not truth.times_T[fault.first] <= at <= truth.times_T[fault.last] + IN_TIME:
            false.append(value["annotations"]["summary"])
        else:
            delay_of.setdefault(stream, at - float(truth.times_T[fault.first]))
    in_time = {stream for stream, delay in delay_of.items() if delay <= IN_TIME}
    missed = Counter(fault.kind for stream, fault in fault_of.items() if stream not in in_time)
    print(f"{len(in_time)} of {len(fault_of)} faults in time, missed {dict(missed)}; {len(false)} false alerts")
    assert len(fault_of) == FAULTS
    assert len(in_time) >= 27, f"missed: {dict(missed)}"
    assert len(false) <= 5, "\n".join(false)
