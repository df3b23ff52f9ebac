"""The input: samples of a few hundred streams, drawn from a seed, written at a steady pace during all faults."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import numpy as np
from confluent_kafka import Producer

from tests.decoders.poison import POISON
from tests.kafka.endpoint import Endpoint

STREAMS_OF = (300, 60, 25, 15)
"""Partition -> its streams; the first has more than one block of them."""
PARTITIONS, STREAMS = len(STREAMS_OF), sum(STREAMS_OF)
START, STEP_SECONDS = 1_700_000_000, 60
SILENT_EVERY, SILENT_STEPS = 25, 45
"""One in so many streams falls silent for so many steps, again and again."""
EXPIRY_SECONDS = 30.0 * STEP_SECONDS
PRIMED_STEPS = 90
"""Written before the faults begin, so that streams are warm."""
_PARTITION_OF = np.repeat(np.arange(len(STREAMS_OF)), STREAMS_OF)
BROKEN = [value for value, _ in POISON if value is None or len(value) < 1_000]
"""Values that no sample can come of, None among them."""
_BURST_SECONDS = 0.05

Record = tuple[int, bytes | None]
"""(partition, value)"""


def step_records(seed: int, step: int) -> list[Record]:
    """Records of one step: a daily wave with noise, spikes and shifts, late and repeated samples, broken records."""
    rng = np.random.default_rng([seed, step])
    streams = np.arange(STREAMS)
    silent = (streams % SILENT_EVERY == 3) & (step // SILENT_STEPS % 2 == 1)
    wave = 5.0 * np.sin(2 * np.pi * (step / 1_440 + streams / STREAMS))
    values = 100.0 + wave + rng.normal(size=STREAMS)
    values += np.where(rng.random(STREAMS) < 0.001, 60.0, 0.0)
    values += np.where((step // 60 + streams * 7) % 41 == 0, 25.0, 0.0)
    odd = rng.random(STREAMS)
    behind = np.where(odd < 0.005, 60, np.where(odd < 0.01, 200, 0))
    poison = rng.choice(len(BROKEN), STREAMS)
    found: list[Record] = []
    for stream in rng.permutation(streams[~silent]).tolist():
        partition = int(_PARTITION_OF[stream])
        stamp = START + STEP_SECONDS * step - int(behind[stream])
        sample = {"name": "load", "labels": {"n": str(stream)}, "timestamp": stamp, "value": float(values[stream])}
        found.append((partition, json.dumps(sample).encode()))
        if odd[stream] > 0.997:
            found.append((partition, BROKEN[int(poison[stream])]))
        elif odd[stream] > 0.99:
            found.append(found[-1])
    return found


class Load(threading.Thread):
    """Writes step after step until stopped; `ends` are the offsets behind the acknowledged records."""

    def __init__(self, kafka: Endpoint, topic: str, seed: int, rate: float) -> None:
        super().__init__(name="load", daemon=True)
        self.ends = [0] * len(STREAMS_OF)
        self.failures: list[str] = []
        self.step = 0
        self._topic = topic
        self._seed = seed
        self._rate = rate
        self._enough = threading.Event()
        self._complete = False
        self._producer = Producer(
            {**kafka.options, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": 300_000}
        )

    def prime(self) -> None:
        """Write the first steps at once."""
        for self.step in range(PRIMED_STEPS):
            for record in step_records(self._seed, self.step):
                self._send(record)
        self._flush()

    def run(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._enough.is_set():
            self.step += 1
            for record in step_records(self._seed, self.step):
                ahead = sent / self._rate - (time.monotonic() - began)
                if ahead > _BURST_SECONDS:
                    self._producer.poll(0)
                    time.sleep(ahead)
                self._send(record)
                sent += 1
        self._flush()
        self._complete = True

    def finish(self) -> None:
        """Stop after the current step, and wait until everything is acknowledged."""
        self._enough.set()
        self.join(400)
        assert not self.is_alive(), "the load does not end"
        assert self._complete, "the load ended by an exception"
        assert not self.failures, self.failures[0]

    def _send(self, record: Record) -> None:
        partition, value = record
        while True:
            try:
                self._producer.produce(self._topic, value, partition=partition, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.2)

    def _flush(self) -> None:
        if self._producer.flush(300):
            self.failures.append("the load was not acknowledged in time")

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self.failures.append(f"the load was not written: {error}")
        else:
            # Counted, because a record that only its second attempt acknowledged has no offset. None is written twice.
            self.ends[message.partition()] += 1
