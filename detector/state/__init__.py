"""Where the state of streams survives the process. A store is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detector.config import Config
from detector.protocols import StateStore


def _directory(config: Config) -> StateStore:
    from detector.state.directory import DirectoryStore

    return DirectoryStore(Path(config.state.directory.path), config.source.kafka.group_id)


def _kafka(config: Config) -> StateStore:
    from detector.state.kafka import KafkaStore

    source = config.source.kafka
    timeout_seconds = config.state.flush_timeout_seconds
    return KafkaStore(
        config.kafka, config.state.kafka.topic, source.topics, source.group_id, timeout_seconds=timeout_seconds
    )


def _none(config: Config) -> None:
    """Streams start anew with every process."""


STORES: dict[str, Callable[[Config], StateStore | None]] = {"directory": _directory, "kafka": _kafka, "none": _none}
"""`state.type` -> its maker."""
