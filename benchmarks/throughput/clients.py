"""`python -m benchmarks.throughput.clients [--samples N] [--rounds N]`: what reading a record costs with each client.

The same topic, in turns: this project's source (kafka-python, whose record batches it reads itself), kafka-python as it
comes, and confluent-kafka (librdkafka), all with their checksums verified and up to the same columns: offsets, times,
keys, values. CPU time of the whole process, the clients' own threads included.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from uuid import uuid4

import confluent_kafka
import numpy as np
from kafka import KafkaConsumer

from benchmarks.throughput.__main__ import MICRO, config_for
from benchmarks.throughput.load import PARTITIONS, fill
from detector.records import RawBatch
from detector.sources import SOURCES
from tests.kafka.cluster import Cluster

STREAMS = 1_000
RECORDS_A_POLL = 10_000


def own(bootstrap: str, topic: str) -> Iterator[list[RawBatch]]:
    """Polls of the project's source."""
    source = SOURCES["kafka"](config_for(bootstrap, topic, STREAMS, uuid4().hex, "full"))
    try:
        while True:
            source.resume(source.changes().assigned)
            yield source.poll(0.5)
    finally:
        source.close(5.0)


def kafka_python(bootstrap: str, topic: str) -> Iterator[list[RawBatch]]:
    """Polls of the library's consumer."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=RECORDS_A_POLL,
    )
    try:
        while True:
            polled = consumer.poll(500)
            yield [
                RawBatch(
                    place.topic,
                    place.partition,
                    np.array([record.offset for record in records]),
                    np.array([record.timestamp for record in records]) / 1e3,
                    [record.value for record in records],
                    [record.key for record in records],
                )
                for place, records in polled.items()
            ]
    finally:
        consumer.close(autocommit=False)


def librdkafka(bootstrap: str, topic: str) -> Iterator[list[RawBatch]]:
    """Polls of confluent-kafka, whose messages come in one list for all partitions."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )
    consumer.subscribe([topic])
    try:
        while True:
            parts: dict[int | None, list[confluent_kafka.Message]] = {}
            for message in consumer.consume(RECORDS_A_POLL, 0.5):
                if error := message.error():
                    raise confluent_kafka.KafkaException(error)
                parts.setdefault(message.partition(), []).append(message)
            yield [
                RawBatch(
                    topic,
                    partition or 0,
                    np.array([message.offset() for message in messages]),
                    np.array([message.timestamp()[1] for message in messages]) / 1e3,
                    [message.value() for message in messages],
                    [message.key() for message in messages],
                )
                for partition, messages in parts.items()
            ]
    finally:
        consumer.close()


CLIENTS: dict[str, Callable[[str, str], Iterator[list[RawBatch]]]] = {
    "own": own,
    "kafka-python": kafka_python,
    "confluent-kafka": librdkafka,
}


def cost(client: str, bootstrap: str, topic: str, samples: int) -> float:
    """CPU microseconds a record, from the first that arrives to the last."""
    polls = CLIENTS[client](bootstrap, topic)
    count = already = sum(map(len, next(polls)))
    while not already:
        count = already = sum(map(len, next(polls)))
    began = process_time()
    while count < samples:
        count += sum(map(len, next(polls)))
    seconds = process_time() - began
    polls.close()  # type: ignore[attr-defined]
    return seconds * MICRO / (samples - already)


def main() -> None:
    """Parse the arguments, start a broker, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    steps = -(-options.samples // STREAMS)
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        topic = cluster.endpoint.create_topic(partitions=PARTITIONS)
        fill(cluster.endpoint, topic, STREAMS, steps)
        costs: dict[str, list[float]] = {client: [] for client in CLIENTS}
        for _ in range(options.rounds):
            for client, found in costs.items():
                found.append(cost(client, cluster.bootstrap, topic, steps * STREAMS))
    print("CPU microseconds a record: median (least to most)")
    for client, found in costs.items():
        print(f"{client:>16} {median(found):.2f} ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
