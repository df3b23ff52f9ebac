"""What the state topic must be like."""

from __future__ import annotations

from collections.abc import Collection

from detector.config.schema import Kafka
from detector.errors import StateUnavailable
from detector.kafka.admin import KafkaAdmin

LEAST_MESSAGE_BYTES = 600_000
"""State is written in pieces of half a MiB; Kafka's default limit is 1 MiB."""


def require_topic(kafka: Kafka, topic: str, inputs: Collection[str]) -> None:
    """Raises StateUnavailable unless `topic` fits.

    It must be compacted, take pieces of state, and have as many partitions as any of `inputs`.
    """
    with KafkaAdmin(kafka, f"state topic {topic}") as admin:
        wanted = max((len(admin.partitions(name)) for name in inputs), default=0)
        found = admin.describe(topic)
    if found is None:
        raise StateUnavailable(
            f"state.kafka.topic: {topic} does not exist; `detector admin init` creates it, or kafka-topics.sh --create "
            f"--topic {topic} --partitions {max(1, wanted)} --config cleanup.policy=compact"
        )
    if found.partitions < wanted:
        raise StateUnavailable(
            f"state.kafka.topic: {topic} has {found.partitions} partitions, the input has {wanted}. Add the "
            f"others; stored state is not affected: kafka-topics.sh --alter --topic {topic} --partitions {wanted}"
        )
    policy = found.settings.get("cleanup.policy")
    if policy != "compact":
        raise StateUnavailable(
            f"state.kafka.topic: {topic} has cleanup.policy={policy}, so it would lose state; set it to compact"
        )
    most = int(found.settings.get("max.message.bytes", LEAST_MESSAGE_BYTES))
    if most < LEAST_MESSAGE_BYTES:
        raise StateUnavailable(
            f"state.kafka.topic: {topic} has max.message.bytes={most}; state needs {LEAST_MESSAGE_BYTES}"
        )
