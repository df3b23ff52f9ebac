"""A Kafka that tests talk to, whoever runs it, through librdkafka: not the client under test."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

PATIENCE_SECONDS = 300.0
"""How long tests wait for what must come; how long it may take is another question, and the machine may be busy."""
_TIMEOUT_SECONDS = 60.0
_NO_COORDINATOR_YET = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
}
# librdkafka reports every refused connection of a broker that a test has stopped.
_QUIET = {"log_level": 0, "logger": logging.getLogger("tests.librdkafka")}


class Endpoint:
    """Topics and records of one cluster, through its address."""

    def __init__(self, bootstrap: str, options: Mapping[str, Any] | None = None) -> None:
        self.bootstrap = bootstrap
        self.options = {"bootstrap.servers": bootstrap, **_QUIET, **(options or {})}
        self._admin: AdminClient | None = None

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(dict(self.options))
        return self._admin

    def name(self, prefix: str = "test") -> str:
        """A topic or group name that nobody else has."""
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def create_topic(
        self, name: str | None = None, *, partitions: int = 1, replication: int = 1, **config: str | int
    ) -> str:
        """A new topic whose every partition has a leader; `config` with `_` for `.`, as in `retention_ms=1`.

        It keeps its records, whatever their times: the broker deletes expired ones at a moment of its own.
        """
        name = name or self.name()
        settings = {key.replace("_", "."): str(value) for key, value in {"retention_ms": -1, **config}.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=settings)
        self.admin.create_topics([topic], operation_timeout=_TIMEOUT_SECONDS)[name].result(_TIMEOUT_SECONDS)
        eventually(lambda: self._led_partitions(name) == partitions, f"{name} has a leader for every partition")
        return name

    def _led_partitions(self, topic: str) -> int:
        try:
            partitions = self.admin.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        except KafkaException:
            return 0
        return sum(1 for partition in partitions.values() if partition.leader >= 0)

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name], operation_timeout=_TIMEOUT_SECONDS)[name].result(_TIMEOUT_SECONDS)

    def delete_group(self, name: str) -> None:
        """Once its last member has left."""

        def deleted() -> bool:
            (done,) = self.admin.delete_consumer_groups([name]).values()
            try:
                done.result(_TIMEOUT_SECONDS)
            except KafkaException as exc:
                if exc.args[0].code() == KafkaError.NON_EMPTY_GROUP:
                    return False
                raise
            return True

        eventually(deleted, f"{name} is deleted")

    def set_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(_TIMEOUT_SECONDS)

    def delete_records_before(self, topic: str, partition: int, offset: int) -> None:
        """Move the start of the log, as retention does."""
        where = TopicPartition(topic, partition, offset)
        for future in self.admin.delete_records([where]).values():
            future.result(_TIMEOUT_SECONDS)

    def brokers(self) -> int:
        """How many brokers are members of the cluster."""
        return len(self.admin.list_topics(timeout=_TIMEOUT_SECONDS).brokers)

    def produce(
        self,
        topic: str,
        records: Sequence[bytes | tuple[bytes | None, bytes | None] | None],
        *,
        partition: int = 0,
        headers: list[tuple[str, str | bytes | None]] | None = None,
        timestamps_ms: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        """Write values, or (key, value) pairs, in order and acknowledged; `options` are the producer's.

        What is small is one record batch, however slow this process is: the producer waits for the flush.
        """
        patient = {"linger.ms": 1_000, "queue.buffering.max.messages": 1_000_000}
        producer = Producer({**self.options, **patient, **{k.replace("_", "."): v for k, v in options.items()}})
        failures: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failures.append(str(error))

        for position, record in enumerate(records):
            key, value = record if isinstance(record, tuple) else (None, record)
            stamp: dict[str, Any] = {"timestamp": timestamps_ms[position]} if timestamps_ms else {}
            producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=delivered, **stamp)
            if position % 1_000 == 999:
                producer.poll(0)
        assert producer.flush(_TIMEOUT_SECONDS) == 0, "records were not delivered in time"
        assert not failures, failures[0]

    def read(self, topic: str, count: int, timeout_seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """The first `count` records of a topic, all partitions, as librdkafka's messages."""
        consumer = Consumer(
            {**self.options, "group.id": self.name("reader"), "auto.offset.reset": "earliest", "check.crcs": True}
        )
        try:
            partitions = self.admin.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
            consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
            messages: list[Any] = []
            deadline = time.monotonic() + timeout_seconds
            while len(messages) < count and time.monotonic() < deadline:
                messages += [m for m in consumer.consume(count - len(messages), 0.2) if m.error() is None]
            return messages
        finally:
            consumer.close()

    def end_offset(self, topic: str, partition: int = 0) -> int:
        """Offset behind the last record."""
        consumer = Consumer({**self.options, "group.id": self.name("reader")})
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_SECONDS)
            return int(end)
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        """The group's committed offset, as the broker has it; None also while the group has no coordinator yet."""
        consumer = Consumer({**self.options, "group.id": group})
        try:
            (found,) = consumer.committed([TopicPartition(topic, partition)], timeout=_TIMEOUT_SECONDS)
        except KafkaException as exc:
            if exc.args[0].code() in _NO_COORDINATOR_YET:
                return None
            raise
        else:
            return found.offset if found.offset >= 0 else None
        finally:
            consumer.close()


def eventually(condition: Callable[[], bool], what: str, timeout_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds; `what` is the sentence that a time-out says."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:.0f} s: {what}")
        time.sleep(0.02)
