"""The client library's options for a member of a consumer group."""

from __future__ import annotations

from typing import Any

from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from detector.config.schema import Kafka, KafkaSource
from detector.kafka.client import client_options, milliseconds
from detector.sources.kafka.drain import waits

_MAX_PARTITION_FETCH_BYTES = 4 << 20
_MAX_HEARTBEAT_MS = 3_000


def member_options(kafka: Kafka, section: KafkaSource) -> dict[str, Any]:
    """Keyword arguments of the consumer. Holds the password: never log it."""
    session_ms = milliseconds(section.session_timeout_seconds)
    return {
        **client_options(kafka),
        "group_id": section.group_id,
        "group_instance_id": section.group_instance_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "check_crcs": True,
        **waits(section.fetch_max_wait_seconds, section.fetch_max_bytes, kafka.request_timeout_seconds),
        "max_poll_records": section.max_poll_records,
        "fetch_max_bytes": section.fetch_max_bytes,
        "max_partition_fetch_bytes": min(section.fetch_max_bytes, _MAX_PARTITION_FETCH_BYTES),
        "session_timeout_ms": session_ms,
        "max_poll_interval_ms": milliseconds(section.max_poll_interval_seconds),
        "heartbeat_interval_ms": min(_MAX_HEARTBEAT_MS, session_ms // 3),
        # Eager: the library's cooperative assignor lets an evicted member reclaim partitions that are now another's.
        "partition_assignment_strategy": [StickyPartitionAssignor, RangePartitionAssignor],
    }
