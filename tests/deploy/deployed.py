"""Shared by the checks of the image and of the unit: a configuration with its own topics, and the worker's pages."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import Endpoint, eventually

PARTITIONS, STREAMS, STEPS = 2, 20, 100
SAMPLES = PARTITIONS * STREAMS * STEPS
"""How many one call of `produce` writes."""
_READING = {"start": "earliest", "session_timeout_seconds": 10}
_FIRST_TIME, _STEP_SECONDS = 1_760_000_000, 60


class Deployed:
    """A worker that runs elsewhere with `config`, seen through its pages and topics."""

    def __init__(self, kafka: Endpoint, **connection: Any) -> None:
        self.kafka = kafka
        self.address = f"{HOST}:{free_ports(1)[0]}"
        self.topic = kafka.create_topic(partitions=PARTITIONS)
        self.config: dict[str, Any] = {
            "kafka": {"bootstrap_servers": kafka.bootstrap.split(","), **connection},
            "source": {"kafka": {"topics": [self.topic], "group_id": kafka.name("group"), **_READING}},
            "sinks": {"kafka": {"topic": kafka.create_topic()}},
            "telemetry": {"listen": self.address},
        }
        self._time = _FIRST_TIME

    def produce(self) -> None:
        """Write the next `SAMPLES` samples of the same streams."""
        times = [self._time + _STEP_SECONDS * step for step in range(STEPS)]
        for partition in range(PARTITIONS):
            names = [f"load_{partition}_{stream}" for stream in range(STREAMS)]
            samples = [{"name": name, "timestamp": at, "value": at % 7} for at in times for name in names]
            self.kafka.produce(self.topic, [json.dumps(sample).encode() for sample in samples], partition=partition)
        self._time = times[-1] + _STEP_SECONDS

    def ask(self, path: str, address: str | None = None) -> tuple[int, str]:
        """Status and body of a page; status 0 without an answer."""
        try:
            with urllib.request.urlopen(f"http://{address or self.address}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def metric(self, name: str, address: str | None = None) -> float:
        """The sum of the samples with this name; 0 without an answer."""
        families = text_string_to_metric_families(self.ask("/metrics", address)[1])
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def reloaded_at(self) -> float:
        """Unix seconds of the last successful reload."""
        return self.metric("detector_config_last_reload_success_timestamp_seconds")

    def wait_until_ready(self) -> None:
        """Wait until it has its partitions and their state."""
        eventually(lambda: self.ask("/-/ready")[0] == 200, "the worker is ready")

    def wait_until_consumed(self, samples: int) -> None:
        """Wait until this worker has consumed exactly this number of samples since its start."""
        eventually(lambda: self.metric("detector_samples_consumed_total") >= samples, f"{samples} samples are consumed")
        assert self.metric("detector_samples_consumed_total") == samples
