"""Records for the benchmark: the JSON that a simple producer would write, keyed by host."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.kafka.endpoint import Endpoint

PARTITIONS = 4
STEP_SECONDS = 60
START = 1_760_000_000
BATCH = 100_000


def fill(endpoint: Endpoint, topic: str, streams: int, steps: int) -> None:
    """`steps` samples of each stream in order of time; a stream stays on its partition."""
    for partition in range(PARTITIONS):
        batch: list[bytes | tuple[bytes | None, bytes | None] | None] = []
        for record in _records(partition, streams, steps):
            batch.append(record)
            if len(batch) == BATCH:
                endpoint.produce(topic, batch, partition=partition, compression_type="lz4")
                batch.clear()
        endpoint.produce(topic, batch, partition=partition, compression_type="lz4")


def _records(partition: int, streams: int, steps: int) -> Iterator[tuple[bytes, bytes]]:
    rng = np.random.default_rng(partition)
    own = range(partition, streams, PARTITIONS)
    for step in range(steps):
        values = (50 + 10 * np.sin(step / 50) + rng.normal(size=len(own))).tolist()
        stamp = START + STEP_SECONDS * step
        for stream, value in zip(own, values, strict=True):
            host = f"host-{stream}"
            text = (
                f'{{"name":"cpu_busy","labels":{{"host":"{host}","region":"eu-1"}},'
                f'"timestamp":{stamp},"value":{value:.6f}}}'
            )
            yield host.encode(), text.encode()
