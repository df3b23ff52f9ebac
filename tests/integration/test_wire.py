"""Captured records of Telegraf and collectd, without keys, so that every series is on every partition."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.alerts import AlertRecord
from detector.app import build_pipeline
from detector.config import Config
from detector.records import Outcome, Partition
from detector.routing import behind_router
from tests.integration.daemon import Daemon
from tests.integration.test_state import stored
from tests.kafka.endpoint import Endpoint, eventually
from tests.routing.worlds import LANES, NOT_ITS_OWN, Timed, states, undisturbed
from tests.wire.records import records

pytestmark = pytest.mark.integration

PARTITIONS = 3
COPIES = 24
DECODERS: dict[str, dict[str, Any]] = {
    "telegraf-json": {"type": "telegraf", "counters": ["net_bytes_*"]},
    "collectd-json-rates-false": {"type": "collectd", "collectd": {"store_rates": False}},
}
SECONDS = {"telegraf-json": 24, "collectd-json-rates-false": 14}
"""Length of the capture."""


def later(document: dict[str, Any], seconds: int, factor: float) -> dict[str, Any]:
    """The same metric some time after, its values multiplied."""
    if "fields" in document:
        fields = {n: v * factor if isinstance(v, int | float) else v for n, v in document["fields"].items()}
        return {**document, "timestamp": document["timestamp"] + seconds, "fields": fields}
    values = [value * factor for value in document["values"]]
    return {**document, "time": document["time"] + seconds, "values": values}


def replayed(name: str) -> Iterator[tuple[int, bytes]]:
    """(milliseconds, value) of the capture, again and again; a few values towards the end are outrageous."""
    captured = sorted(records(name), key=lambda record: record.timestamp_ms)
    # Some of Telegraf's lines bear a time that is three years before the rest: streams that never get anywhere.
    captured = [record for record in captured if record.timestamp_ms > captured[-1].timestamp_ms - 3_600_000]
    for copy in range(COPIES):
        seconds = copy * SECONDS[name]
        for number, record in enumerate(captured):
            factor = 1e3 if copy == COPIES - 3 and number % 40 == 0 else 1
            found = json.loads(record.value)
            document = [later(each, seconds, factor) for each in found] if isinstance(found, list) else found
            value = document if isinstance(found, list) else later(found, seconds, factor)
            yield record.timestamp_ms + 1_000 * seconds, json.dumps(value).encode()


class Setting:
    """A topic over which the capture is spread, and what a reader of a single partition would make of it."""

    def __init__(self, kafka: Endpoint, folder: Path, name: str, partitioning: str) -> None:
        self.kafka = kafka
        # The captured times must not make the broker delete what it is given.
        self.input = kafka.create_topic(partitions=PARTITIONS, retention_ms=-1)
        self.lanes = kafka.create_topic(partitions=LANES, retention_ms=-1)
        self.alerts, self.group = kafka.create_topic(), kafka.name("group")
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap]},
            "source": {
                "kafka": {
                    "topics": [self.input],
                    "group_id": self.group,
                    "group_instance_id": "one",
                    "start": "earliest",
                    "partitioning": partitioning,
                    "repartition_topic": self.lanes,
                    "max_poll_records": 200,
                }
            },
            "decoder": DECODERS[name],
            "scoring": {"warmup_samples": 20},
            "sinks": {"kafka": {"topic": self.alerts}},
            "state": {"directory": {"path": str(folder / "state")}},
            "checkpoint": {"interval_seconds": 0.2},
        }
        self.config = Config.model_validate(self.settings)
        self.log: dict[Partition, list[Timed]] = {(self.input, number): [] for number in range(PARTITIONS)}
        for number, (milliseconds, value) in enumerate(replayed(name)):
            self.log[self.input, number % PARTITIONS].append((milliseconds / 1e3, value))

    def produce(self, first: float = 0.0, end: float = 1.0) -> None:
        """These shares of the log."""
        for (topic, number), found in self.log.items():
            part = found[int(first * len(found)) : int(end * len(found))]
            times = [round(1e3 * at) for at, _ in part]
            self.kafka.produce(topic, [value for _, value in part], partition=number, timestamps_ms=times)

    def committed(self, group: str, topic: str, partitions: int) -> list[int | None]:
        return [self.kafka.committed(group, topic, number) for number in range(partitions)]

    def wait_until_routed_and_read(self) -> None:
        ends = [len(found) for found in self.log.values()]
        router = f"{self.group}-router"
        eventually(lambda: self.committed(router, self.input, PARTITIONS) == ends, "everything is routed")
        routed = [self.kafka.end_offset(self.lanes, lane) for lane in range(LANES)]
        assert min(routed) > 0
        eventually(lambda: self.committed(self.group, self.lanes, LANES) == routed, "everything is read")


@pytest.mark.parametrize(("name", "kills"), [("telegraf-json", 0), ("collectd-json-rates-false", 2)])
def test_g1_g2_series_spread_over_partitions_are_scored_as_on_a_single_one(
    kafka: Endpoint, tmp_path: Path, name: str, kills: int
) -> None:
    setting, chance = Setting(kafka, tmp_path, name, "repartition"), random.Random(7)
    for kill in range(kills):  # each daemon has its share: none comes to the end before it is killed
        setting.produce(kill / (kills + 1), (kill + 1) / (kills + 1))
        with Daemon(tmp_path, setting.settings) as daemon:
            enough = chance.randrange(500, 1_500)
            eventually(lambda: daemon.metric("detector_samples_routed_total") > enough, "it routes")  # noqa: B023
            daemon.process.kill()
            daemon.process.wait()
    if kills:
        done = setting.committed(f"{setting.group}-router", setting.input, PARTITIONS)
        ends = [len(found) for found in setting.log.values()]
        print(f"routed at the last kill: {done} of {ends}")
        assert None not in done
        assert done != ends
    setting.produce(kills / (kills + 1), 1)
    with Daemon(tmp_path, setting.settings) as daemon:
        setting.wait_until_routed_and_read()
        consumed = daemon.metric("detector_samples_consumed_total")
        assert consumed == daemon.metric("detector_samples_total")
        starts = daemon.metric("detector_samples_discarded_total", reason="counter_start")
        assert daemon.metric("detector_streams_split_total") == 0
        assert daemon.terminate() == 0

    pipeline = build_pipeline(setting.config)
    expected = undisturbed(pipeline, setting.log, setting.config.decoder, setting.lanes)
    if not kills:
        outcomes = np.concatenate([each.outcomes for each in expected])
        assert (consumed, starts) == (len(outcomes), (outcomes == Outcome.COUNTER_START).sum())
        assert (outcomes == Outcome.LATE).sum() == 0
    assert stored_states(setting, pipeline) == states(pipeline, setting.lanes)
    encode = AlertRecord({}, f"detector/{setting.group}")
    alerts = {readable(encode(alert).value) for each in expected for alert in each.alerts}
    found = {readable(m.value()) for m in kafka.read(setting.alerts, kafka.end_offset(setting.alerts))}
    assert len(alerts) > 5
    assert found == alerts


def stored_states(setting: Setting, pipeline: Any) -> dict[tuple[int, str], dict[str, bytes]]:
    """As `states`, of what the daemon has stored."""
    config, found = behind_router(setting.config), {}
    for lane in range(LANES):
        offset, blocks = stored(config, pipeline, (setting.lanes, lane))
        assert offset == setting.kafka.end_offset(setting.lanes, lane)
        for block in blocks:
            for row, key in enumerate(block.keys):
                if key is not None:
                    columns = {n: column[row].tobytes() for n, column in block.columns.items() if n not in NOT_ITS_OWN}
                    found[lane, str(key)] = columns
    return found


def readable(value: bytes | None) -> str:
    """An alert without the place of its record in the internal topic, which depends on how that was written."""
    document = json.loads(value or b"{}")
    document["anomaly"]["source"].pop("offset")
    return json.dumps(document, sort_keys=True)


def test_series_on_several_partitions_are_counted_with_partitioning_trusted(kafka: Endpoint, tmp_path: Path) -> None:
    setting = Setting(kafka, tmp_path, "collectd-json-rates-false", "trusted")
    setting.produce()
    ends = [len(found) for found in setting.log.values()]
    with Daemon(tmp_path, setting.settings) as daemon:
        eventually(lambda: setting.committed(setting.group, setting.input, PARTITIONS) == ends, "all is read")
        # Gauges are brought up to date every two seconds.
        eventually(
            lambda: daemon.metric("detector_streams_split_total") == daemon.metric("detector_streams") * 2 / 3 > 0,
            "splits are counted",
        )
        streams = daemon.metric("detector_streams")
        assert daemon.terminate() == 0
    warnings = [json.loads(line) for line in daemon.log.read_text().splitlines() if "several partitions" in line]
    assert warnings[-1]["streams"] == streams * 2 / 3
    assert len(warnings[-1]["partitions"]) == PARTITIONS
    assert "repartition" in warnings[-1]["fix"]
