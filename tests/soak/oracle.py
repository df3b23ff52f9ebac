"""The results that the input should give, computed on one thread by the same code, and how the daemons' differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, TopicPartition

from detector.alerts import AlertRecord
from detector.app import build_pipeline
from detector.columns import BlockState
from detector.config import Config
from detector.decoders import DECODERS
from detector.errors import DetectorError
from detector.models.fingerprint import fingerprint
from detector.pipeline import Pipeline
from detector.protocols import Message
from detector.records import Alert, Outcome, Partition, RawBatch, Reject
from detector.sinks.dead_letter import PREFIX, DeadLetterRecord
from detector.state import STORES
from detector.state.history import newest
from detector.state.steps import complete
from detector.worker.outlets import TOMBSTONE
from tests.kafka.endpoint import Endpoint
from tests.sinks.hook import change, disordered

_BATCH = 10_000
Fact = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]
"""A record as it was published: key, value, headers."""


def log(kafka: Endpoint, topic: str, partition: int) -> Iterator[list[Any]]:
    """All messages of a partition, in offset order, read by librdkafka."""
    consumer = Consumer({**kafka.options, "group.id": kafka.name("oracle"), "check.crcs": True})
    try:
        end = kafka.end_offset(topic, partition)
        consumer.assign([TopicPartition(topic, partition, 0)])
        read = 0
        while read < end:  # nothing is transactional or compacted: every offset is a record
            messages = [message for message in consumer.consume(_BATCH, 1.0) if message.error() is None]
            if messages:
                read += len(messages)
                yield messages
    finally:
        consumer.close()


@dataclass
class Truth:
    """The results of one pass over the input."""

    pipeline: Pipeline
    partitions: list[Partition]
    ends: list[int] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


def oracle(kafka: Endpoint, config: Config, topic: str, partitions: int) -> Truth:
    """Read the recorded input through decoder and pipeline, partition after partition."""
    truth = Truth(build_pipeline(config), [(topic, number) for number in range(partitions)])
    decoder = DECODERS[config.decoder.type](config.decoder)
    for partition in truth.partitions:
        end = 0
        for messages in log(kafka, *partition):
            samples = decoder.decode(_raw(partition, messages), truth.pipeline.table.series(partition))
            scored = truth.pipeline.process(samples, expire=True)
            truth.alerts += scored.alerts
            truth.rejects += [reject for reject in samples.rejects if reject.reason != TOMBSTONE]
            values, counts = np.unique(scored.outcomes, return_counts=True)
            for value, count in zip(values, counts, strict=True):
                truth.outcomes[Outcome(value).name.lower()] += int(count)
            end += len(messages)
        truth.ends.append(end)
    return truth


def _raw(partition: Partition, messages: list[Any]) -> RawBatch:
    return RawBatch(
        *partition,
        np.array([message.offset() for message in messages], dtype=np.int64),
        np.array([message.timestamp()[1] for message in messages], dtype=np.float64) / 1_000,
        [message.value() for message in messages],
        [message.key() for message in messages],
    )


@dataclass
class Comparison:
    """A group's results compared with the oracle's. All differences must be zero."""

    alerts: int = 0
    alerts_twice: int = 0
    """Delivered again with the same id and bytes."""
    posted: int = 0
    """Alerts that the webhook got."""
    posted_twice: int = 0
    dead_letters: int = 0
    dead_letters_twice: int = 0
    lost: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    other_bytes: list[str] = field(default_factory=list)
    """The same id, other bytes."""
    disordered: list[str] = field(default_factory=list)
    """Streams whose alerts the webhook got in another order."""
    state: list[str] = field(default_factory=list)
    """What differs in the stored state, or in what the group committed."""

    @property
    def problems(self) -> list[str]:
        return [
            *(f"lost: {identity}" for identity in self.lost),
            *(f"invented: {identity}" for identity in self.invented),
            *(f"other bytes: {identity}" for identity in self.other_bytes),
            *(f"out of order: {stream}" for stream in self.disordered),
            *(f"state: {what}" for what in self.state),
        ]


def compare(kafka: Endpoint, config: Config, truth: Truth, posted: list[bytes]) -> Comparison:
    """Compare stored state, committed offsets, alerts and dead letters of the group of this configuration.

    `posted` are the records that its webhook got, in order.
    """
    found = Comparison()
    found.state = _state_differences(config, truth)
    group = config.source.kafka.group_id
    for (topic, number), end in zip(truth.partitions, truth.ends, strict=True):
        committed = kafka.committed(group, topic, number)
        if committed != end:
            found.state.append(f"partition {number}: {committed} is committed, the log ends at {end}")
    assert config.dead_letter.topic is not None
    encode_alert = AlertRecord(config.alerts.labels, f"detector/{group}")
    encode_reject = DeadLetterRecord(config.dead_letter.max_value_bytes)
    alerts = list(map(encode_alert, truth.alerts))
    found.alerts, found.alerts_twice = judge(found, alerts, _published(kafka, config.sinks.kafka.topic), _alert_id)
    values = [Message(None, alert.value) for alert in alerts]
    found.posted, found.posted_twice = judge(found, values, ((None, value, ()) for value in posted), _posted_id)
    found.disordered = disordered((alert.value or b"" for alert in alerts), posted)
    found.dead_letters, found.dead_letters_twice = judge(
        found, list(map(encode_reject, truth.rejects)), _published(kafka, config.dead_letter.topic), _place
    )
    return found


def _alert_id(fact: Fact) -> str:
    return "alert " + dict(fact[2])["ce_id"].decode()


def _posted_id(fact: Fact) -> str:
    told = change(fact[1] or b"")
    return f"posted {told.id}-{told.status}"


def _place(fact: Fact) -> str:
    headers = dict(fact[2])
    partition, offset = (headers[PREFIX + name].decode() for name in ("partition", "offset"))
    return f"dead letter {partition}/{offset}"


def _published(kafka: Endpoint, topic: str) -> Iterator[Fact]:
    for number in kafka.partitions(topic):
        for messages in log(kafka, topic, number):
            for message in messages:
                yield message.key(), message.value(), tuple(message.headers() or ())


def judge(
    found: Comparison, expected: list[Message], published: Iterator[Fact], identify: Callable[[Fact], str]
) -> tuple[int, int]:
    """Add to `found` how the published records differ; returns the numbers of distinct ones and of repetitions."""
    facts = [(message.key, message.value, tuple(message.headers)) for message in expected]
    fact_of = {identify(fact): fact for fact in facts}
    assert len(fact_of) == len(facts), "what is published has an identity of its own"
    seen: Counter[str] = Counter()
    for fact in published:
        identity = identify(fact)
        seen[identity] += 1
        if identity not in fact_of:
            found.invented.append(identity)
        elif fact != fact_of[identity]:
            found.other_bytes.append(identity)
    found.lost += sorted(fact_of.keys() - seen.keys())
    return len(seen), seen.total() - len(seen)


def _state_differences(config: Config, truth: Truth) -> list[str]:
    store = STORES[config.state.type](config)
    assert store is not None
    try:
        return [
            what
            for partition, end in zip(truth.partitions, truth.ends, strict=True)
            for what in _partition_differences(config, truth, partition, end, store)
        ]
    finally:
        store.close(5.0)


def _partition_differences(config: Config, truth: Truth, partition: Partition, end: int, store: Any) -> list[str]:
    where, table, damage = f"partition {partition[1]}", truth.pipeline.table, list[str]()
    ours = fingerprint(truth.pipeline.model, config.model.device, config.model.threads)
    try:
        stored = complete(store.opening(partition))
        kept = complete(newest(stored, partition, table.fields, ours, lambda name, _: damage.append(name)))
    except DetectorError as exc:
        return [f"{where}: {exc}"]
    if kept is None:
        return [f"{where}: nothing is stored"]
    differences = [f"{where}: {name} is damaged" for name in damage]
    if kept.manifest.offset != end:
        differences.append(f"{where}: the snapshot ends at {kept.manifest.offset}, the log at {end}")
    event_time = table.event_time(partition)
    if (kept.manifest.watermark, *msgspec.structs.astuple(kept.manifest.votes)) != event_time:
        differences.append(f"{where}: watermark {kept.manifest.watermark}, {kept.manifest.votes}, not {event_time}")
    table.cancel_cut(partition, range(table.blocks_of(partition)))
    expected = [table.take(partition, number) for number in table.cut(partition)]
    if len(kept.blocks) != len(expected):
        return [*differences, f"{where}: {len(kept.blocks)} blocks, not {len(expected)}"]
    for one, other in zip(kept.blocks, expected, strict=True):
        differences += [f"{where}, block {one.number}: {what}" for what in block_differences(one, other)]
    return differences


def block_differences(one: BlockState, other: BlockState) -> Iterator[str]:
    """Differences of two blocks; empty if they are equal bit for bit."""
    if one.keys != other.keys:
        yield "streams lie in other rows"
    for name, column in one.columns.items():
        if column.tobytes() != other.columns[name].tobytes():
            rows = [row for row in range(len(column)) if column[row].tobytes() != other.columns[name][row].tobytes()]
            yield f"column {name} differs in {len(rows)} rows, from {rows[0]}"
