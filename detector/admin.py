"""The topics that a configuration needs: what each must be like, which are missing, and what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detector.config import Config
from detector.errors import TopicMissing, TopicUnfit
from detector.kafka.admin import KafkaAdmin, TopicDescription
from detector.sinks.dead_letter import ENVELOPE_BYTES
from detector.state.kafka_topic import LEAST_MESSAGE_BYTES

BROKERS_CHOICE = -1
USUAL_REPLICAS = 3
LEAST_RETENTION_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Setting:
    """A topic setting that we want."""

    name: str
    wanted: str
    fits: Callable[[str], bool]
    needed: bool
    """False if another value works, only less well."""
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A topic that the configuration names."""

    key: str
    """The configuration key that names it."""
    topic: str
    partitions: int
    """Number to create it with; BROKERS_CHOICE leaves it to the brokers."""
    least_partitions: int
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something about a topic that is not as it should be."""

    key: str
    topic: str
    what: str
    fix: str
    needed: bool


def plans(config: Config, input_partitions: int, stream_partitions: int) -> Iterator[Plan]:
    """Every topic that we write to.

    `input_partitions` is the largest number of partitions of any input topic. `stream_partitions` is that of the topic
    that streams are read from: the same number, or the internal topic's.
    """
    source = config.source
    from_kafka = source.type == "kafka"
    if config.is_routed:
        yield Plan("source.kafka.repartition_topic", source.kafka.repartition_topic, input_partitions, 1, _SAMPLES)
    if from_kafka and config.state.type == "kafka":
        yield Plan("state.kafka.topic", config.state.kafka.topic, stream_partitions, stream_partitions, _STATE)
    if config.sinks.kafka.enabled:
        yield Plan("sinks.kafka.topic", config.sinks.kafka.topic, 1, 1, _ALERTS)
    if config.dead_letter.topic is not None:
        least = config.dead_letter.max_value_bytes + ENVELOPE_BYTES
        room = _at_least("max.message.bytes", least, "dead letters may be that large")
        yield Plan("dead_letter.topic", config.dead_letter.topic, 1, 1, (_DELETED, room))


def differences(plan: Plan, found: TopicDescription, brokers: int, bootstrap: str) -> Iterator[Difference]:
    """How a topic that exists differs from its plan."""
    tool = f"--bootstrap-server {bootstrap}"
    if found.partitions < plan.least_partitions:
        yield Difference(
            plan.key,
            plan.topic,
            f"it has {found.partitions} partitions, but streams are on {plan.least_partitions}",
            f"Add partitions; stored state is not affected: kafka-topics.sh {tool} --alter --topic {plan.topic} "
            f"--partitions {plan.least_partitions}",
            needed=True,
        )
    for setting in plan.settings:
        value = found.settings.get(setting.name)
        if value is not None and not setting.fits(value):
            yield Difference(
                plan.key,
                plan.topic,
                f"{setting.name} is {value}, not {setting.wanted}: {setting.why}",
                f"kafka-configs.sh {tool} --entity-type topics --entity-name {plan.topic} --alter "
                f"--add-config {setting.name}=[{setting.wanted}]",
                setting.needed,
            )
    usual = min(USUAL_REPLICAS, brokers)
    if found.replicas < usual:
        yield Difference(
            plan.key,
            plan.topic,
            f"it has {found.replicas} replicas in a cluster of {brokers} brokers: it is lost if their brokers fail",
            f"Raise that to {usual}: kafka-reassign-partitions.sh {tool}",
            needed=False,
        )


def init(
    config: Config, admin: KafkaAdmin, *, replicas: int, dry_run: bool, input_partitions: int | None = None
) -> Iterator[str]:
    """Create missing topics, check the others, and yield a line about each; existing topics are never changed.

    With `input_partitions`, missing input topics are also created, with that many partitions; without it, a missing one
    raises TopicMissing. Also raises AccessDenied, and TopicUnfit if the daemon could not work with a topic.
    """
    serious = []
    bootstrap, brokers = ",".join(config.kafka.bootstrap_servers), admin.brokers()
    counts = _input_counts(config, admin)
    missing = _missing(counts, input_partitions)
    for topic, partitions in counts.items():
        if partitions:
            kept = (
                f", not {input_partitions}: existing topics are not changed"
                if input_partitions not in (None, partitions)
                else ""
            )
            yield f"source.kafka.topics: {topic} exists, {_counted(partitions)}{kept}"
    for topic, partitions in missing:
        counts[topic] = partitions
        admin.create(topic, partitions, replicas, {}, dry_run=dry_run)
        yield f"source.kafka.topics: {topic} {_done(dry_run)}, {_counted(partitions)}"
    inputs = max(counts.values(), default=1)
    routed = len(admin.partitions(config.source.kafka.repartition_topic)) if config.is_routed else 0
    for plan in plans(config, inputs, routed or inputs):
        where = f"{plan.key}: {plan.topic}"
        found = admin.describe(plan.topic)
        if found is None:
            settings = {setting.name: setting.wanted for setting in plan.settings}
            admin.create(plan.topic, plan.partitions, replicas, settings, dry_run=dry_run)
            shown = ", ".join(f"{name}={value}" for name, value in settings.items())
            yield f"{where} {_done(dry_run)}, {_counted(plan.partitions)}, {shown}"
            continue
        wrong = list(differences(plan, found, brokers, bootstrap))
        serious += [f"{plan.topic}: {one.what}" for one in wrong if one.needed]
        for one in wrong:
            yield f"{where} {'MUST BE FIXED' if one.needed else 'could be better'}: {one.what}. {one.fix}"
        if not wrong:
            yield f"{where} is as it should be, {_counted(found.partitions)}"
    if serious:
        raise TopicUnfit("; ".join(serious))


def _done(dry_run: bool) -> str:
    return "would be created" if dry_run else "created"


def _counted(partitions: int) -> str:
    return f"{partitions} partition{'' if partitions == 1 else 's'}"


def _input_counts(config: Config, admin: KafkaAdmin) -> dict[str, int]:
    """Number of partitions of each input topic, 0 if it does not exist."""
    if config.source.type != "kafka":
        return {}
    return {topic: len(admin.partitions(topic)) for topic in config.source.kafka.topics}


def _missing(counts: dict[str, int], partitions: int | None) -> list[tuple[str, int]]:
    """Input topics to create, with their numbers of partitions. Raises TopicMissing if the number is not given."""
    missing = [topic for topic, count in counts.items() if not count]
    if missing and partitions is None:
        raise TopicMissing(
            f"source.kafka.topics: {', '.join(missing)} does not exist, or this client may not describe it. Normally "
            "its producers create it, since the load decides its number of partitions; --input-partitions N creates it"
        )
    return [(topic, partitions) for topic in missing if partitions is not None]


def _policy(wanted: str, *, needed: bool, why: str) -> Setting:
    parts = set(wanted.split(","))
    return Setting("cleanup.policy", wanted, lambda value: set(value.split(",")) == parts, needed, why)


def _at_least(name: str, least: int, why: str) -> Setting:
    return Setting(name, str(least), lambda value: int(value) >= least, needed=True, why=why)


def _at_most(name: str, most: float, why: str) -> Setting:
    return Setting(name, f"{most:.12g}", lambda value: float(value) <= most, needed=False, why=why)


_DELETED = _policy("delete", needed=True, why="records without a key cannot be compacted")
_STATE = (
    _policy("compact", needed=True, why="the state of streams would be lost"),
    _at_least("max.message.bytes", LEAST_MESSAGE_BYTES, "state is written in pieces of half a MiB"),
    _at_most("segment.bytes", 64 << 20, "the newest segment is not compacted, and a restore reads all of it"),
    _at_most("segment.ms", 600_000, "compaction starts late, and a restore reads all that is not compacted yet"),
    _at_most("min.cleanable.dirty.ratio", 0.2, "compaction is rare, and a restore reads all that is not compacted yet"),
    _at_most("delete.retention.ms", 3_600_000, "a restore reads every deletion that is kept for that long"),
)
_ALERTS = (_policy("compact,delete", needed=False, why="the last alert of each stream would not be kept"),)
_SAMPLES = (
    _DELETED,
    _at_least("max.message.bytes", LEAST_MESSAGE_BYTES, "samples are sent in records of up to half a MiB"),
    Setting(
        "retention.ms",
        "86400000",
        lambda value: int(value) < 0 or int(value) >= LEAST_RETENTION_MS,
        needed=False,
        why="samples that wait longer while no worker runs are lost",
    ),
)
