"""Which topics a configuration needs, and which differences of existing ones are reported."""

from __future__ import annotations

from typing import Any

import pytest

from detector.admin import Difference, Plan, differences, plans
from detector.config import Config
from detector.kafka.admin import TopicDescription


def planned(stream_partitions: int = 8, **settings: Any) -> dict[str, Plan]:
    config = Config.model_validate(settings)
    return {plan.key: plan for plan in plans(config, 8, stream_partitions)}


def test_only_topics_in_use_are_planned() -> None:
    assert planned().keys() == {"sinks.kafka.topic"}
    assert planned(sinks={"kafka": {"enabled": False}}) == {}
    assert planned(source={"type": "host"}, state={"type": "kafka"}).keys() == {"sinks.kafka.topic"}
    everything = planned(
        source={"kafka": {"partitioning": "repartition"}}, state={"type": "kafka"}, dead_letter={"topic": "dead"}
    )
    assert {key: plan.partitions for key, plan in everything.items()} == {
        "source.kafka.repartition_topic": 8,
        "state.kafka.topic": 8,
        "sinks.kafka.topic": 1,
        "dead_letter.topic": 1,
    }


def test_state_topic_has_as_many_partitions_as_the_input() -> None:
    routed = planned(24, source={"kafka": {"partitioning": "repartition"}}, state={"type": "kafka"})
    assert (routed["source.kafka.repartition_topic"].partitions, routed["state.kafka.topic"].partitions) == (8, 24)
    assert routed["state.kafka.topic"].least_partitions == 24


STATE = planned(state={"type": "kafka"})["state.kafka.topic"]
GOOD = {
    "cleanup.policy": "compact",
    "max.message.bytes": "1048588",
    "segment.bytes": "67108864",
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.2",
    "delete.retention.ms": "3600000",
}


def found(plan: Plan = STATE, partitions: int = 8, replicas: int = 3, **settings: str) -> list[Difference]:
    in_force = {**GOOD, **{name.replace("_", "."): value for name, value in settings.items()}}
    return list(differences(plan, TopicDescription(plan.topic, partitions, replicas, in_force), 5, "b:9092"))


def test_suitable_topic_has_no_differences() -> None:
    assert found() == []
    assert found(partitions=12) == []
    alerts = planned()["sinks.kafka.topic"]
    assert found(alerts, cleanup_policy="delete,compact") == []


@pytest.mark.parametrize(
    ("change", "what", "needed"),
    [
        (
            {"cleanup_policy": "delete"},
            "cleanup.policy is delete, not compact: the state of",
            True,
        ),
        ({"cleanup_policy": "compact,delete"}, "cleanup.policy is compact,delete, not compact", True),
        ({"max_message_bytes": "1000"}, "max.message.bytes is 1000, not 600000", True),
        ({"segment_ms": "604800000"}, "segment.ms is 604800000, not 600000", False),
        ({"segment_bytes": "1073741824"}, "segment.bytes is 1073741824, not 67108864", False),
        ({"delete_retention_ms": "86400000"}, "delete.retention.ms is 86400000, not 3600000", False),
        ({"min_cleanable_dirty_ratio": "0.5"}, "min.cleanable.dirty.ratio is 0.5, not 0.2", False),
        ({"partitions": 4}, "it has 4 partitions, but streams are on 8", True),
        ({"replicas": 1}, "it has 1 replicas in a cluster of 5 brokers", False),
    ],
)
def test_each_difference_is_named_with_its_remedy(change: dict[str, Any], what: str, needed: bool) -> None:
    (one,) = found(**change)
    assert (one.key, one.topic, one.needed) == ("state.kafka.topic", "detector-state", needed)
    assert one.what.startswith(what)
    assert "kafka-configs.sh --bootstrap-server b:9092" in one.fix or change.keys() & {"partitions", "replicas"}
    if "partitions" in change:
        assert one.fix.endswith("--bootstrap-server b:9092 --alter --topic detector-state --partitions 8")


def test_internal_topic_must_keep_samples_for_an_hour() -> None:
    plan = planned(source={"kafka": {"partitioning": "repartition"}})["source.kafka.repartition_topic"]
    settings = {setting.name: setting for setting in plan.settings}
    assert [settings["retention.ms"].fits(value) for value in ("-1", "3600000", "60000")] == [True, True, False]
    assert settings["retention.ms"].wanted == "86400000"


def test_dead_letter_topic_must_accept_the_configured_size() -> None:
    plan = planned(dead_letter={"topic": "dead", "max_value_bytes": 2_000_000})["dead_letter.topic"]
    settings = {setting.name: setting for setting in plan.settings}
    assert settings["max.message.bytes"].fits("3000000")
    assert not settings["max.message.bytes"].fits("2000000")
    assert not settings["cleanup.policy"].fits("compact")
