"""The schema of `config.yaml`, key for key. Units are in the names; each component receives only its own section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from detector.config.alerts import Alerts
from detector.config.decoder import Decoder
from detector.config.learning import Learning
from detector.config.sasl import Sasl
from detector.config.sinks import Sinks
from detector.config.telemetry import Telemetry
from detector.config.values import (
    FilePath,
    GroupSeconds,
    HostPort,
    InstanceName,
    PositiveSeconds,
    Section,
    StartPoint,
    TopicName,
)

SourceName = Literal["kafka", "file", "host"]
StateName = Literal["directory", "kafka", "none"]


class Tls(Section):
    """Encryption; the chain and the host name are always verified."""

    enabled: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Kafka(Section):
    """The cluster that source, alert sink, dead letters and state store share."""

    bootstrap_servers: Annotated[list[HostPort], Field(min_length=1)] = ["localhost:9092"]
    client_id: Annotated[str, Field(min_length=1, max_length=200)] = "detector"
    request_timeout_seconds: PositiveSeconds = 30.0
    allow_plaintext_credentials: bool = False
    tls: Tls = Tls()
    sasl: Sasl = Sasl()

    @model_validator(mode="after")
    def _credentials_are_encrypted(self) -> Kafka:
        if self.sasl.mechanism and not self.tls.enabled and not self.allow_plaintext_credentials:
            raise ValueError(
                "sasl without tls sends the password or token unencrypted: set tls.enabled, "
                "or allow_plaintext_credentials: true if the network is trusted"
            )
        return self


class KafkaSource(Section):
    """Consumer group on one or more topics."""

    topics: Annotated[list[TopicName], Field(min_length=1)] = ["metrics"]
    group_id: Annotated[str, Field(min_length=1, max_length=255)] = "detector"
    group_instance_id: InstanceName | None = None
    start: StartPoint = "latest"
    partitioning: Literal["trusted", "repartition"] = "trusted"
    repartition_topic: TopicName = "detector-samples"
    on_offset_lost: Literal["stop", "earliest", "latest"] = "stop"
    on_new_partition: Literal["stop", "earliest", "latest"] = "earliest"
    session_timeout_seconds: GroupSeconds = 45.0
    max_poll_interval_seconds: GroupSeconds = 300.0
    max_poll_records: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    fetch_max_bytes: Annotated[int, Field(ge=1_024, le=1 << 30)] = 16_777_216
    fetch_max_wait_seconds: Annotated[float, Field(ge=0.0, le=5.0)] = 0.25


class FileSource(Section):
    """Files on this machine; a `csv` file is one stream, a `json` file any number of them."""

    paths: list[str] = []
    follow: bool = False


class HostSource(Section):
    """This machine's own CPU, memory, disk, network and load."""

    interval_seconds: PositiveSeconds = 1.0


class Source(Section):
    """Where records come from."""

    type: SourceName = "kafka"
    kafka: KafkaSource = KafkaSource()
    file: FileSource = FileSource()
    host: HostSource = HostSource()


class Streams(Section):
    """How many streams are kept and for how long; how far ahead samples may be; how counters are read."""

    max_streams_per_partition: Annotated[int, Field(ge=1, le=50_000_000)] = 100_000
    evict_idle_seconds: PositiveSeconds = 90_000.0
    idle_expiry_seconds: PositiveSeconds = 2_592_000.0
    max_future_seconds: PositiveSeconds = 3_600.0
    counters: Literal["rate", "raw"] = "rate"


class Readout(Section):
    """What each stream learns for itself, on top of the shared network."""

    enabled: bool = True
    freeze_seconds: PositiveSeconds = 21_600.0


class Model(Section):
    """The forecaster, and how much state a stream has."""

    profile: Literal["full", "compact"] = "full"
    weights: FilePath | None = None
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    readout: Readout = Readout()


class Scoring(Section):
    """What is anomalous."""

    alerts_per_stream_week: Annotated[float, Field(gt=0, le=10_000)] = 0.1
    warmup_samples: Annotated[int, Field(ge=10, le=100_000)] = 60
    band_coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    direction: Literal["above", "below", "both"] = "both"
    min_dev_from_expected: Annotated[float, Field(ge=0)] = 0.0
    min_rel_dev_from_expected: Annotated[float, Field(ge=0)] = 0.0


class Groups(Section):
    """Streams that are judged together."""

    by: list[Annotated[str, Field(min_length=1)]] = []
    tick_seconds: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    alerts_per_group_week: Annotated[float, Field(gt=0, le=10_000)] = 0.5
    alert_members: bool = True

    @field_validator("by")
    @classmethod
    def _distinct(cls, by: list[str]) -> list[str]:
        if len(set(by)) != len(by):
            raise ValueError("names a label twice")
        return by


class DeadLetter(Section):
    """Where records that cannot be decoded go; without a topic they are only counted."""

    topic: TopicName | None = None
    max_value_bytes: Annotated[int, Field(ge=0, le=1 << 24)] = 65_536


class DirectoryState(Section):
    """Snapshots on this machine's disk."""

    path: Annotated[str, Field(min_length=1)] = "state"


class KafkaState(Section):
    """Snapshots in a compacted topic, so that they follow their partition from worker to worker."""

    topic: TopicName = "detector-state"


class State(Section):
    """Where the state of streams outlives the process; used with `source.type: kafka`."""

    type: StateName = "directory"
    on_foreign: Literal["refuse", "rewarm", "adopt"] = "refuse"
    flush_timeout_seconds: PositiveSeconds = 60.0
    directory: DirectoryState = DirectoryState()
    kafka: KafkaState = KafkaState()


class Checkpoint(Section):
    """How often alerts are made durable, state is stored, and offsets are committed."""

    interval_seconds: PositiveSeconds = 10.0
    shutdown_timeout_seconds: PositiveSeconds = 30.0


class Watchdog(Section):
    """When a hanging process is ended."""

    stall_seconds: PositiveSeconds = 120.0
    partition_seconds: PositiveSeconds = 300.0


class Config(Section):
    """The whole of `config.yaml`."""

    kafka: Kafka = Kafka()
    source: Source = Source()
    decoder: Decoder = Decoder()
    streams: Streams = Streams()
    model: Model = Model()
    learning: Learning = Learning()
    scoring: Scoring = Scoring()
    groups: Groups = Groups()
    alerts: Alerts = Alerts()
    sinks: Sinks = Sinks()
    dead_letter: DeadLetter = DeadLetter()
    state: State = State()
    checkpoint: Checkpoint = Checkpoint()
    watchdog: Watchdog = Watchdog()
    telemetry: Telemetry = Telemetry()

    @property
    def longest_flush_seconds(self) -> float:
        """The longest that the loop may wait for acknowledgements from one sink, or from the state store."""
        return max(self.state.flush_timeout_seconds, self.sinks.longest_delivery_seconds)

    @property
    def is_routed(self) -> bool:
        """Whether samples go through the internal topic."""
        return self.source.type == "kafka" and self.source.kafka.partitioning == "repartition"

    def _topics(self) -> Iterator[tuple[str, str]]:
        """(key, topic) for every topic in use."""
        kafka = self.source.kafka
        if self.source.type == "kafka":
            yield from (("source.kafka.topics", topic) for topic in kafka.topics)
            if self.is_routed:
                yield "source.kafka.repartition_topic", kafka.repartition_topic
            if self.state.type == "kafka":
                yield "state.kafka.topic", self.state.kafka.topic
        if self.sinks.kafka.enabled:
            yield "sinks.kafka.topic", self.sinks.kafka.topic
        if self.dead_letter.topic is not None:
            yield "dead_letter.topic", self.dead_letter.topic

    @model_validator(mode="after")
    def _each_topic_has_one_use(self) -> Config:
        """A topic that is both read and written would feed our output back to us."""
        uses: dict[str, str] = {}
        for key, topic in self._topics():
            if (first := uses.setdefault(topic, key)) != key:
                raise ValueError(f"{key}: {topic} is already used as {first}; name another topic")
        return self

    def _require_decoder_of_source(self) -> None:
        """Raises ValueError if every record would be rejected, or all would belong to one stream."""
        source, decoder = self.source.type, self.decoder.type
        if source == "host" and decoder != "json":
            raise ValueError(f"decoder.type: {decoder} cannot read the records of source.type: host; use json")
        if source == "kafka" and decoder == "csv":
            raise ValueError(
                "decoder.type: csv is for files, because a stream is named after its file: set source.type to file, "
                "or name the format of the records"
            )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.source.type == "file" and not self.source.file.paths:
            raise ValueError("source.file.paths: is empty, so there is nothing to read")
        self._require_decoder_of_source()
        longest = self.longest_flush_seconds
        if self.watchdog.stall_seconds <= longest:
            raise ValueError(
                f"watchdog.stall_seconds: {self.watchdog.stall_seconds:g} would end a worker that waits for an "
                f"acknowledgement, which may take {longest:g} s; set it higher"
            )
        self._require_polls_in_time()
        return self

    def _require_polls_in_time(self) -> None:
        """Raises ValueError if a single wait of the loop would be long enough for the group to expel the worker."""
        polls = self.source.kafka.max_poll_interval_seconds
        waits = {}
        if self.source.type == "kafka":
            waits["an acknowledgement"] = self.longest_flush_seconds
        if self.decoder.type == "avro":
            waits["the schema registry"] = self.decoder.avro.registry.lookup_timeout_seconds
        for thing, seconds in waits.items():
            if seconds >= polls:
                raise ValueError(
                    f"source.kafka.max_poll_interval_seconds: a worker may wait {seconds:g} s for {thing}, but loses "
                    f"its partitions after {polls:g} s; set it higher than that"
                )
