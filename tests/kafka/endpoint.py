"""A Kafka cluster as tests use it, through librdkafka rather than the client under test."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

PATIENCE_SECONDS = 300.0
"""How long tests wait for what must come; how long it may take is another question, and the machine may be busy."""
_TIMEOUT_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_NOT_NOW = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.INVALID_REPLICATION_FACTOR,  # brokers that were frozen for some seconds are missing for a moment
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._WAIT_COORD,
}
"""What a broker says that has just come back, or was busy for long; it says something else when asked again."""
# librdkafka logs every refused connection to a broker that a test has stopped.
_QUIET = {"log_level": 0, "logger": logging.getLogger("tests.librdkafka")}


class Endpoint:
    """Topics and records of one cluster."""

    def __init__(self, bootstrap: str, options: Mapping[str, Any] | None = None) -> None:
        self.bootstrap = bootstrap
        self.options = {"bootstrap.servers": bootstrap, **_QUIET, **(options or {})}
        self._admin: AdminClient | None = None
        self._consumer: Consumer | None = None
        self._asks_for: str | None = None

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(dict(self.options))
        return self._admin

    def name(self, prefix: str = "test") -> str:
        """A unique name for a topic or group."""
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def create_topic(
        self, name: str | None = None, *, partitions: int = 1, replication: int = 1, **config: str | int
    ) -> str:
        """A new topic whose every partition has a leader; `config` with `_` for `.`, as in `retention_ms=1`.

        It keeps its records, whatever their times: otherwise the broker may delete expired ones at any moment.
        """
        name = name or self.name()
        settings = {key.replace("_", "."): str(value) for key, value in {"retention_ms": -1, **config}.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=settings)
        patiently(
            lambda: self.admin.create_topics([topic], operation_timeout=_TIMEOUT_SECONDS)[name],
            f"{name} is created",
            done=KafkaError.TOPIC_ALREADY_EXISTS,
        )
        eventually(lambda: self._led_partitions(name) == partitions, f"{name} has a leader for every partition")
        return name

    def _led_partitions(self, topic: str) -> int:
        return sum(1 for partition in self._known_of(topic).values() if partition.leader >= 0)

    def _known_of(self, topic: str) -> dict[int, Any]:
        """Number -> metadata of each partition; empty while brokers do not know the topic."""
        known = patiently(lambda: self.admin.list_topics(topic, timeout=_TIMEOUT_SECONDS), f"{topic} is asked for")
        return dict(known.topics[topic].partitions)

    def topics(self) -> set[str]:
        """The names of all topics."""
        known = patiently(lambda: self.admin.list_topics(timeout=_TIMEOUT_SECONDS), "the broker lists its topics")
        return set(known.topics)

    def partitions(self, topic: str) -> list[int]:
        """The partitions of a topic that exists."""
        known: dict[int, Any] = {}

        def is_known() -> bool:
            known.update(self._known_of(topic))
            return bool(known)

        eventually(is_known, f"{topic} is known")
        return sorted(known)

    def delete_topic(self, name: str) -> None:
        patiently(
            lambda: self.admin.delete_topics([name], operation_timeout=_TIMEOUT_SECONDS)[name],
            f"{name} is deleted",
            done=KafkaError.UNKNOWN_TOPIC_OR_PART,
        )

    def delete_group(self, name: str) -> None:
        """Delete the group once its last member has left."""
        patiently(
            lambda: self.admin.delete_consumer_groups([name])[name],
            f"{name} is deleted",
            done=KafkaError.GROUP_ID_NOT_FOUND,
            later=KafkaError.NON_EMPTY_GROUP,
        )

    def set_partitions(self, topic: str, total: int) -> None:
        patiently(
            lambda: self.admin.create_partitions([NewPartitions(topic, total)])[topic],
            f"{topic} has {total} partitions",
            done=KafkaError.INVALID_PARTITIONS,
        )

    def delete_records_before(self, topic: str, partition: int, offset: int) -> None:
        """Move the start of the log, as retention does."""
        where = TopicPartition(topic, partition, offset)
        patiently(lambda: self.admin.delete_records([where])[where], f"{topic} begins at {offset}")

    def brokers(self) -> int:
        """The number of brokers in the cluster."""
        return len(patiently(lambda: self.admin.list_topics(timeout=_TIMEOUT_SECONDS), "brokers answer").brokers)

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

        Small input is one record batch, however slow this process is: the producer waits for the flush. A broker that
        did not answer in time gets no record twice.
        """
        patient = {"linger.ms": 1_000, "queue.buffering.max.messages": 1_000_000, "enable.idempotence": True}
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
        assert producer.flush(PATIENCE_SECONDS) == 0, "records were not delivered in time"
        assert not failures, failures[0]

    def read(self, topic: str, count: int, timeout_seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """The first `count` records of a topic, all partitions, as librdkafka's messages."""
        consumer = Consumer(
            {**self.options, "group.id": self.name("reader"), "auto.offset.reset": "earliest", "check.crcs": True}
        )
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in self.partitions(topic)])
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
            where = TopicPartition(topic, partition)
            _, end = patiently(
                lambda: consumer.get_watermark_offsets(where, timeout=_TIMEOUT_SECONDS), f"{topic} says where it ends"
            )
            return int(end)
        finally:
            consumer.close()

    def committed(self, group: str, topic: str, partition: int = 0) -> int | None:
        """The group's committed offset, as the broker has it."""
        consumer, where = self._asking(group), [TopicPartition(topic, partition)]
        (found,) = patiently(
            lambda: consumer.committed(where, timeout=_TIMEOUT_SECONDS), f"{group} says where it reads"
        )
        return found.offset if found.offset >= 0 else None

    def _asking(self, group: str) -> Consumer:
        """A consumer that is no member. It is kept until another group is asked for: tests ask again and again."""
        if self._consumer is None or self._asks_for != group:
            if self._consumer is not None:
                self._consumer.close()
            self._consumer, self._asks_for = Consumer({**self.options, "group.id": group}), group
        return self._consumer


def patiently(call: Callable[[], Any], what: str, *, done: int | None = None, later: int | None = None) -> Any:
    """The result of `call`, or of its future, repeated until brokers are ready; `what` is the text of a timeout.

    `done` is the error that means that an earlier attempt had succeeded. `later` is one more temporary error.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    tries = 0
    while True:
        tries += 1
        try:
            answer = call()
            return answer.result() if isinstance(answer, Future) else answer
        except KafkaException as exc:
            code = exc.args[0].code()
            if code == done and tries > 1:
                return None
            if code != later and code not in _NOT_NOW:
                raise
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {PATIENCE_SECONDS:.0f} s: {what}") from exc
        time.sleep(0.1)


def eventually(
    condition: Callable[[], bool],
    what: str,
    timeout_seconds: float = PATIENCE_SECONDS,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Wait until `condition` holds; `what` is the text of a timeout. Time counts from the last change of `progress`."""
    deadline, reached = time.monotonic() + timeout_seconds, progress()
    while not condition():
        if (now := progress()) != reached:
            deadline, reached = time.monotonic() + timeout_seconds, now
        elif time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:.0f} s: {what}")
        time.sleep(_LOOK_SECONDS)
