"""Stores in which the state of streams outlives the process. A store is imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detector.config import Config
from detector.protocols import StateReader, StateStore


def _directory(config: Config) -> StateStore:
    from detector.state.directory import DirectoryStore

    return DirectoryStore(Path(config.state.directory.path).absolute(), config.source.kafka.group_id)


def _kafka(config: Config) -> StateStore:
    from detector.state.kafka import KafkaStore

    source = config.source.kafka
    timeout_seconds = config.state.flush_timeout_seconds
    return KafkaStore(
        config.kafka, config.state.kafka.topic, source.topics, source.group_id, timeout_seconds=timeout_seconds
    )


def _none(config: Config) -> None:
    """Streams start over with every process."""


STORES: dict[str, Callable[[Config], StateStore | None]] = {"directory": _directory, "kafka": _kafka, "none": _none}
"""`state.type` -> function that makes its store."""


def _read_directory(config: Config) -> StateReader:
    from detector.state.directory import DirectoryReader

    return DirectoryReader(Path(config.state.directory.path).absolute(), config.source.kafka.group_id)


def _read_kafka(config: Config) -> StateReader:
    from detector.state.kafka_read import KafkaReader

    group, timeout_seconds = config.source.kafka.group_id, config.state.flush_timeout_seconds
    return KafkaReader(config.kafka, config.state.kafka.topic, group, timeout_seconds=timeout_seconds)


READERS: dict[str, Callable[[Config], StateReader]] = {"directory": _read_directory, "kafka": _read_kafka}
"""`state.type` -> function that makes its reader; `none` has nothing to read."""
