"""The commands of `detector state`, between the configured store and a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from detector.config import Config
from detector.errors import StateDamaged, StateMissing, StateOccupied
from detector.inspect.look import ATTEMPTS, reader_of
from detector.protocols import StateReader, StateStore, Stored
from detector.records import Partition
from detector.state import STORES
from detector.state.archive import export, opened
from detector.state.steps import complete
from detector.state.survey import Snapshot, Survey, at_offset, survey
from detector.state.transfer import earlier, put, revert_to


def export_to(config: Config, archive: Path, partition: Partition | None, *, force: bool) -> list[str]:
    """Export all partitions or one; returns what was done. Raises StateOccupied, StateMissing, StateDamaged."""
    if archive.exists() and not force:
        raise StateOccupied(f"{archive} exists; --force replaces it")
    with reader_of(config) as reader:
        found = exported(reader, config.source.kafka.group_id, archive, partition)
    return [
        f"{one.topic}/{one.partition}: {sum(snapshot.damaged is None for snapshot in one.snapshots)} snapshots, "
        f"the newest at {at_offset(one, None).offset}"
        for one in found
        if one.snapshots
    ]


def exported(reader: StateReader, group: str, archive: Path, partition: Partition | None) -> list[Survey]:
    """Export, again while something is damaged: a worker may just have deleted an old snapshot. Raises StateError."""

    def stored() -> Iterator[Stored]:
        return reader.partitions() if partition is None else iter([reader.open(partition)])

    for _ in range(ATTEMPTS - 1):
        with suppress(StateDamaged):
            return export(stored(), group, archive)
    return export(stored(), group, archive)


def import_from(
    config: Config, archive: Path, partition: Partition | None, *, at: int | None, force: bool, while_running: bool
) -> list[str]:
    """Import a file into the store; returns what was done. Raises StateError, SourceError."""
    with ExitStack() as stack:
        _, held = stack.enter_context(opened(archive))
        chosen = [stored for stored in held if partition in (None, stored.partition)]
        if not chosen:
            there = ", ".join(f"{stored.partition[0]}/{stored.partition[1]}" for stored in held) or "nothing"
            raise StateMissing(f"{archive} holds {there}")
        for stored in chosen:
            at_offset(survey(stored), at)
        store = stack.enter_context(store_of(config, while_running=while_running))
        if not force:
            _require_room(store, chosen)
        timeout_seconds = config.state.flush_timeout_seconds
        return [
            _line(one, "resumes at", put(one, store, at=at, force=force, timeout_seconds=timeout_seconds))
            for one in chosen
        ]


def revert(config: Config, partition: Partition | None, *, at: int | None, while_running: bool) -> list[str]:
    """Revert the store to an earlier snapshot; returns what was done. Raises StateError, SourceError."""
    with ExitStack() as stack:
        reader = stack.enter_context(reader_of(config))
        held = list(reader.partitions()) if partition is None else [reader.open(partition)]
        if not any(stored.blobs for stored in held):
            raise StateMissing(f"nothing is stored for group {config.source.kafka.group_id}")
        for stored in held:  # all of them, or none
            earlier(survey(stored), at)
        store = stack.enter_context(store_of(config, while_running=while_running))
        timeout_seconds = config.state.flush_timeout_seconds
        return [
            _line(one, "goes back to", revert_to(one, store, at=at, timeout_seconds=timeout_seconds)) for one in held
        ]


@contextmanager
def store_of(config: Config, *, while_running: bool) -> Iterator[StateStore]:
    """Open the configured store. Raises StateMissing and, unless `while_running`, StateOccupied if workers run."""
    if not while_running:
        _require_nobody(config)
    store = STORES[config.state.type](config)
    if store is None:
        raise StateMissing(f"state.type is {config.state.type}: nothing is stored")
    try:
        yield store
    finally:
        store.close(5.0)


def _require_nobody(config: Config) -> None:
    from detector.kafka.admin import KafkaAdmin

    group = config.source.kafka.group_id
    with KafkaAdmin(config.kafka, f"group {group}") as admin:
        members = admin.members(group)
    if members:
        noun = "member" if len(members) == 1 else "members"
        raise StateOccupied(
            f"group {group} has {len(members)} running {noun} ({', '.join(members[:3])}): stop all first. One with a "
            f"group_instance_id still counts for {config.source.kafka.session_timeout_seconds:g} s after its end. "
            "--while-running skips this check"
        )


def _require_room(store: StateStore, chosen: Sequence[Stored]) -> None:
    """Check before anything is written: import all partitions, or none."""
    full = [f"{one.partition[0]}/{one.partition[1]}" for one in chosen if complete(store.opening(one.partition))]
    if full:
        raise StateOccupied(f"there is state of {', '.join(full)} in the store; --force replaces it")


def _line(stored: Stored, does: str, snapshot: Snapshot) -> str:
    topic, number = stored.partition
    return f"{topic}/{number} {does} offset {snapshot.offset}, {snapshot.streams} streams"
