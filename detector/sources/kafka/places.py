"""Where a consumer group would begin to read, found out from outside while it has no members."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as KafkaSourceSection
from detector.errors import TopicMissing
from detector.kafka.client import client_options, connect, milliseconds, translate
from detector.records import Lineage, Partition
from detector.sources.kafka.lineage import Lineages
from detector.sources.kafka.offsets import Offsets
from detector.sources.kafka.records import Quarantine
from detector.sources.kafka.topics import without


def places(kafka: Kafka, section: KafkaSourceSection, topic: str) -> dict[Partition, tuple[int, Lineage]]:
    """Partition -> (offset of the next record that the group would read, lineage of its log).

    The rules are those of a worker's start, including that the first offsets of a new group are committed. Raises
    BrokerUnreachable, AccessDenied, TopicMissing, PartitionsChanged.
    """
    options = {
        **client_options(kafka),
        "group_id": section.group_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
    }
    consumer: Any = connect(KafkaConsumer, options, f"group {section.group_id}", kafka)
    timeout_ms = milliseconds(kafka.request_timeout_seconds)
    try:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise TopicMissing(without(topic, kafka, section))
        all_places = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(all_places)
        lineages = Lineages(consumer._cluster.topic_id, lambda: None)
        Offsets(consumer, kafka, section, lineages, Quarantine()).place(all_places)
        return {
            (place.topic, place.partition): (
                consumer.position(place, timeout_ms=timeout_ms),
                lineages.behind((place.topic, place.partition)),
            )
            for place in all_places
        }
    except kafka_errors.KafkaError as exc:
        raise translate(exc, f"asking where group {section.group_id} begins", kafka) from exc
    finally:
        with suppress(kafka_errors.KafkaError):
            consumer.close(autocommit=False, timeout_ms=1_000)
