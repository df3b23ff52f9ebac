"""The state topic: what it must be like, and how it is made."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from detector.config.schema import Kafka
from detector.errors import StateUnavailable
from detector.kafka_client import client_options, connect, translate

LEAST_MESSAGE_BYTES = 600_000
"""State is written in pieces of half a MiB; Kafka's default limit is 1 MiB."""


def require_topic(kafka: Kafka, topic: str, inputs: Collection[str]) -> None:
    """Raises StateUnavailable unless `topic` is compacted and has a partition for each of every input topic."""
    options = {name: value for name, value in client_options(kafka).items() if name in KafkaAdminClient.DEFAULT_CONFIG}
    admin: Any = connect(KafkaAdminClient, options, f"state topic {topic}", kafka)
    try:
        partitions = {name: _partitions(admin, name) for name in (topic, *inputs)}
        wanted = max([partitions[name] for name in inputs], default=0)
        create = (
            f"kafka-topics.sh --create --topic {topic} --partitions {max(1, wanted)} --config cleanup.policy=compact"
        )
        if not partitions[topic]:
            raise StateUnavailable(f"state.kafka.topic: {topic} does not exist; create it: {create}")
        if partitions[topic] < wanted:
            raise StateUnavailable(
                f"state.kafka.topic: {topic} has {partitions[topic]} partitions, the input has {wanted}; "
                f"create another one: {create}"
            )
        settings = _settings(admin, topic)
    except kafka_errors.KafkaError as exc:
        raise translate(exc, f"looking at state topic {topic}", kafka) from exc
    finally:
        admin.close()
    if settings.get("cleanup.policy") != "compact":
        raise StateUnavailable(
            f"state.kafka.topic: {topic} has cleanup.policy={settings.get('cleanup.policy')}, so it would lose state; "
            "set it to compact"
        )
    if int(settings.get("max.message.bytes") or LEAST_MESSAGE_BYTES) < LEAST_MESSAGE_BYTES:
        raise StateUnavailable(
            f"state.kafka.topic: {topic} has max.message.bytes={settings['max.message.bytes']}; "
            f"state needs {LEAST_MESSAGE_BYTES}"
        )


def _partitions(admin: Any, topic: str) -> int:
    try:
        (found,) = admin.describe_topics([topic])
    except kafka_errors.UnknownTopicOrPartitionError:
        return 0
    return len(found["partitions"]) if not found["error_code"] else 0


def _settings(admin: Any, topic: str) -> dict[str, str | None]:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    found = admin.describe_configs([resource], config_filter="all")
    return {name: entry["value"] for named in found.values() for name, entry in named[topic].items()}
