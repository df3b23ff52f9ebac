"""Answers the questions of `detector inspect` from the configured store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from detector.config import Config
from detector.errors import StateDamaged, StateMissing
from detector.inspect import render
from detector.inspect.listing import ListedStream, matching
from detector.inspect.stream import StoredStream, find
from detector.pipeline import Pipeline
from detector.protocols import StateReader
from detector.records import Partition, partition_name
from detector.state import READERS
from detector.state.survey import Survey, at_offset, survey

ATTEMPTS = 3
"""More than one, because a worker may delete an old snapshot while it is read."""


def surveys(config: Config, partition: Partition | None) -> list[Survey]:
    """Survey all partitions, or one. Raises StateMissing if nothing is stored."""
    with reader_of(config) as reader:
        if partition is None:
            found = [_settled(reader, one.partition, survey(one)) for one in reader.partitions()]
        else:
            found = [_settled(reader, partition, survey(reader.open(partition)))]
    if not any(one.snapshots or one.other_blobs for one in found):
        raise _nothing(config, partition)
    return found


def _nothing(config: Config, partition: Partition | None) -> StateMissing:
    what = "" if partition is None else f" of {partition_name(partition)}"
    return StateMissing(
        f"nothing is stored{what} for group {config.source.kafka.group_id} in {_place(config)}; "
        "check state and source.kafka.group_id, or wait for the first checkpoint"
    )


def _place(config: Config) -> str:
    """Where the configured store is; a folder as an absolute path, which does not depend on the current one."""
    if config.state.type == "kafka":
        return f"the topic {config.state.kafka.topic}"
    return f"the folder {Path(config.state.directory.path).absolute()}"


def streams(
    config: Config, partition: Partition | None, wanted: str, offset: int | None, pipeline: Pipeline
) -> list[StoredStream]:
    """Find the stream in every partition that has it. Raises StateMissing if none does."""
    found: list[StoredStream] = []
    missing: list[str] = []
    others: list[str] = []
    with reader_of(config) as reader:
        for stored in reader.partitions() if partition is None else [reader.open(partition)]:
            try:
                one = find(stored, at_offset(survey(stored), offset), wanted, pipeline, others)
            except StateMissing as exc:
                missing.append(str(exc))
            else:
                found += [one] if one else []
    if not found and others:
        near = get_close_matches(wanted, others, n=3, cutoff=0.5)
        missing.append(
            f"no stream {wanted} among {len(others)} in {_place(config)}"
            + (f"; similar: {', '.join(near)}" if near else "; write it as alerts do, with all its labels")
        )
    if not found:
        raise StateMissing("; ".join(missing)) if missing else _nothing(config, partition)
    return found


def listed(
    config: Config, partition: Partition | None, pattern: str, pipeline: Pipeline, *, firing: bool, silent: bool
) -> list[ListedStream]:
    """List streams that match a pattern, in all partitions or one; if `firing`, those with the highest score first.

    A partition whose first checkpoint is not complete has none yet. Raises StateMissing if there is no snapshot at all,
    or if all those of a partition are damaged.
    """
    found: list[ListedStream] = []
    partitions = 0
    with reader_of(config) as reader:
        for stored in reader.partitions() if partition is None else [reader.open(partition)]:
            known = survey(stored)
            if known.snapshots:
                partitions += 1
                found += matching(stored, at_offset(known, None), pattern, pipeline, firing=firing, silent=silent)
    if not partitions:
        raise _nothing(config, partition)
    if firing:
        found.sort(key=lambda one: -(one.alert_score or 0.0))
    return found


def described(found: Sequence[Survey], partition: Partition | None, now: float, *, as_json: bool) -> Iterator[str]:
    """Surveys as lines of text."""
    if as_json:
        yield render.as_json(found)
    elif partition is None:
        yield from render.overview(found, now)
    else:
        yield from render.partition(found[0], now)


def details(found: Sequence[StoredStream], *, as_json: bool) -> Iterator[str]:
    """Streams as lines of text."""
    if as_json:
        yield render.as_json(found)
        return
    for one in found:
        yield from render.stream(one)


def no_match(pattern: str | None, *, firing: bool, silent: bool) -> str:
    """The message for an empty list."""
    if pattern is None and firing and silent:
        return "no stream with a firing alert had fallen silent by the last checkpoint"
    if pattern is None:
        return f"no {'stream had fallen silent by' if silent else 'alert was firing at'} the last checkpoint"
    which = f"no {'silent ' if silent else ''}stream{' with a firing alert' if firing else ''}"
    return f"{which} matches {pattern} with its whole name and labels; try '*{pattern.strip('*')}*'"


def lines_of(found: Sequence[ListedStream], *, as_json: bool) -> Iterator[str]:
    """Many streams as lines of text."""
    if as_json:
        yield render.as_json(found)
    else:
        yield from render.listing(found)


def require_intact(found: Sequence[Survey]) -> None:
    """Raise StateDamaged if a partition has snapshots but none can be restored."""
    lost = [f"{one.topic}/{one.partition}" for one in found if one.snapshots and one.newest_intact is None]
    if lost:
        raise StateDamaged(f"no intact snapshot of {', '.join(lost)}")


@contextmanager
def reader_of(config: Config) -> Iterator[StateReader]:
    """Open the configured store for reading. Raises StateMissing if none is configured."""
    make = READERS.get(config.state.type)
    if make is None:
        raise StateMissing(f"state.type is {config.state.type}: nothing is stored")
    reader = make(config)
    try:
        yield reader
    finally:
        reader.close(5.0)


def _settled(reader: StateReader, partition: Partition, found: Survey) -> Survey:
    """Survey again while something is damaged: it may just have been deleted."""
    for _ in range(ATTEMPTS - 1):
        if all(snapshot.damaged is None for snapshot in found.snapshots):
            break
        found = survey(reader.open(partition))
    return found
