"""Looks up topics and groups, and creates topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from detector.config.schema import Kafka
from detector.errors import AccessDenied, SourceError
from detector.kafka.client import client_options, connect, translate

_COORDINATOR_PAUSE_SECONDS = 0.2
_LIVE_STATES = ("PreparingRebalance", "CompletingRebalance", "Stable", "Assigning", "Reconciling")


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic that exists."""

    name: str
    partitions: int
    replicas: int
    """Replicas of the first partition."""
    settings: Mapping[str, str]
    """Every effective setting, including the brokers' defaults."""


class KafkaAdmin:
    """`with KafkaAdmin(kafka, "what for") as admin:`. Raises BrokerUnreachable, AccessDenied or another SourceError."""

    def __init__(self, kafka: Kafka, doing: str) -> None:
        self._kafka = kafka
        options = {
            name: value for name, value in client_options(kafka).items() if name in KafkaAdminClient.DEFAULT_CONFIG
        }
        self._admin: Any = connect(KafkaAdminClient, options, doing, kafka)

    def describe(self, topic: str) -> TopicDescription | None:
        """None if the topic does not exist or is not visible to us."""
        partitions = self.partitions(topic)
        return self._described(topic, partitions) if partitions else None

    def partitions(self, topic: str) -> list[Any]:
        """The brokers' description of each partition; empty if there is no such topic."""
        try:
            (found,) = self._admin.describe_topics([topic])
        except kafka_errors.UnknownTopicOrPartitionError:
            return []
        except kafka_errors.KafkaError as exc:
            raise self._failed(exc, f"describing topic {topic}", f"DESCRIBE on topic {topic}") from exc
        if found["error_code"] == kafka_errors.TopicAuthorizationFailedError.errno:
            raise self._denied(f"describing topic {topic}", f"DESCRIBE on topic {topic}")
        return list(found["partitions"]) if not found["error_code"] else []

    def create(
        self, topic: str, partitions: int, replicas: int, settings: Mapping[str, str], *, dry_run: bool = False
    ) -> None:
        """Create a topic; -1 partitions or replicas: the brokers' default. With `dry_run`, they only check."""
        wanted = {topic: {"num_partitions": partitions, "replication_factor": replicas, "configs": dict(settings)}}
        try:
            self._admin.create_topics(wanted, validate_only=dry_run, wait_for_metadata=not dry_run)
        except kafka_errors.TopicAlreadyExistsError:
            """Another process was faster."""
        except kafka_errors.KafkaError as exc:
            raise self._failed(exc, f"creating topic {topic}", f"CREATE on topic {topic}") from exc

    def brokers(self) -> int:
        """Number of brokers."""
        try:
            return len(self._admin.describe_cluster()["brokers"])
        except kafka_errors.KafkaError as exc:
            raise self._failed(exc, "describing the cluster", "DESCRIBE on the cluster") from exc

    def members(self, group: str) -> list[str]:
        """Members of a consumer group, as `client id at host`. A static member is listed until its session expires."""
        deadline = monotonic() + self._kafka.request_timeout_seconds
        while True:
            try:
                found = self._admin.describe_groups([group])[group]
                break
            except kafka_errors.GroupIdNotFoundError:
                return []
            except kafka_errors.CoordinatorNotAvailableError as exc:  # the first group of a cluster takes a moment
                if monotonic() > deadline:
                    raise self._failed(exc, f"describing group {group}", f"DESCRIBE on group {group}") from exc
                sleep(_COORDINATOR_PAUSE_SECONDS)
            except kafka_errors.KafkaError as exc:
                raise self._failed(exc, f"describing group {group}", f"DESCRIBE on group {group}") from exc
        if found["error"] and "GroupAuthorizationFailed" in found["error"]:
            raise self._denied(f"describing group {group}", f"DESCRIBE on group {group}")
        if found["group_state"] not in _LIVE_STATES:
            return []
        return [f"{member['client_id']} at {member['client_host']}" for member in found["members"]]

    def close(self) -> None:
        """Idempotent."""
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _described(self, topic: str, partitions: list[Any]) -> TopicDescription:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        try:
            found = self._admin.describe_configs([resource], config_filter="all")
        except kafka_errors.KafkaError as exc:
            right = f"DESCRIBE_CONFIGS on topic {topic}"
            raise self._failed(exc, f"reading the settings of topic {topic}", right) from exc
        settings = {name: entry["value"] for named in found.values() for name, entry in named[topic].items()}
        return TopicDescription(
            topic,
            len(partitions),
            len(partitions[0]["replica_nodes"]),
            {name: value for name, value in settings.items() if value is not None},
        )

    def _failed(self, error: Exception, doing: str, right: str) -> SourceError:
        if isinstance(error, kafka_errors.AuthorizationError):
            return self._denied(doing, right)
        return translate(error, doing, self._kafka)

    def _denied(self, doing: str, right: str) -> AccessDenied:
        where = ", ".join(self._kafka.bootstrap_servers)
        return AccessDenied(
            f"{doing}: {where} does not authorize {self._kafka.sasl.username or 'an anonymous client'}; grant {right}"
        )
