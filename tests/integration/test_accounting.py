"""G16 with a real broker and daemon: one sample of every outcome, as `/metrics` counts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import Daemon
from tests.kafka.endpoint import Endpoint, eventually

pytestmark = pytest.mark.integration

START, WARMUP, GOOD = 1_700_000_000, 60, 100


def sample(step: int, value: Any = 1.0, name: str = "a") -> bytes:
    return json.dumps({"name": name, "timestamp": START + 60 * step, "value": value}).encode()


FATES: dict[tuple[str, str], list[bytes]] = {
    ("late", ""): [sample(3), sample(4)],
    ("duplicate", ""): [sample(GOOD - 1)] * 3,
    ("discarded", "gap"): [sample(GOOD, None)] * 4,
    ("discarded", "not_finite"): [sample(GOOD, "NaN"), sample(GOOD, "Infinity")],
    ("discarded", "out_of_range"): [sample(GOOD, 1e31)],
    ("discarded", "bad_timestamp"): [sample(-START // 60 - 2), sample(10**12)],
    ("discarded", "stream_limit"): [sample(GOOD, name="b"), sample(GOOD, name="c")],
    ("dead_lettered", ""): [b"{", b"\xff", b"[]", b"{}", json.dumps({"name": "a", "timestamp": START}).encode()],
}


def test_g16_every_outcome_of_a_sample_is_counted_on_metrics(kafka: Endpoint, tmp_path: Path) -> None:
    topic, alerts = kafka.create_topic(), kafka.create_topic()
    records = [sample(step) for step in range(GOOD)] + [record for fate in FATES.values() for record in fate]
    kafka.produce(topic, records)
    config = {
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "source": {"kafka": {"topics": [topic], "group_id": kafka.name("group"), "start": "earliest"}},
        "streams": {"max_streams_per_partition": 1},
        "scoring": {"warmup_samples": WARMUP},
        "sinks": {"kafka": {"topic": alerts}},
    }
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: daemon.metric("detector_samples_consumed_total") == len(records), "all is read")
        eventually(lambda: daemon.metric("detector_samples_total") == len(records), "all has its outcome")
        assert daemon.metric("detector_samples_total", outcome="warmup") == WARMUP
        assert daemon.metric("detector_samples_total", outcome="scored") == GOOD - WARMUP
        for (outcome, reason), fate in FATES.items():
            name = "samples_discarded" if reason else "samples"
            labels = {"reason": reason} if reason else {"outcome": outcome}
            assert daemon.metric(f"detector_{name}_total", **labels) == len(fate), (outcome, reason)
        assert daemon.terminate() == 0
