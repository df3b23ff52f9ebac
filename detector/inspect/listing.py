"""Many streams of a snapshot, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby

import numpy as np

from detector.inspect.stream import time_text
from detector.pipeline import Pipeline
from detector.pipeline.notifications import DELIVERY
from detector.protocols import Stored
from detector.records import AlertStatus, Delivery
from detector.scoring.interval import INTERVAL
from detector.series import SeriesKey
from detector.state.block import StoredBlock, layout
from detector.state.survey import Snapshot, streams
from detector.streams.silence import heard
from detector.streams.table import LATEST

HELD: dict[int, str] = {Delivery.MUTED: "muted", Delivery.LEFT_TO_GROUP: "left to its group"}
"""Why an alert is not sent."""
VALUE, EXPECTED, SCORE = 1, 2, 5
"""Places in the column `alert.worst`."""


@dataclass(frozen=True, slots=True)
class ListedStream:
    """A stream or group in a list; fields are None if another version wrote its columns, or if a group has none."""

    topic: str
    partition: int
    offset: int
    """The snapshot's."""
    series: str
    fingerprint: str
    last_time: str | None = None
    last_value: float | None = None
    samples: int | None = None
    warming_up: bool | None = None
    forecaster: str | None = None
    skill: float | None = None
    alert: str | None = None
    alert_since: str | None = None
    alert_held: str | None = None
    """Why a firing alert was not sent."""
    alert_value: float | None = None
    """Of the open alert's worst sample, like the two below; None for a group, whose numbers mean nothing to people."""
    alert_expected: float | None = None
    alert_score: float | None = None


def matching(
    stored: Stored, snapshot: Snapshot, pattern: str, pipeline: Pipeline, *, firing: bool, silent: bool
) -> Iterator[ListedStream]:
    """Streams whose `name{label="value"}` matches `pattern` (`*` and `?`), if need be only those of a kind.

    `firing` leaves those with a firing alert, `silent` those that have fallen silent.
    """
    chosen = _silent(stored, snapshot, pipeline) if silent else None
    for number, group in groupby(streams(stored, snapshot), key=lambda found: found[2].block.number):
        entries = [(key, row, read) for key, row, read in group if fnmatchcase(str(key), pattern)]
        if chosen is not None:
            entries = [entry for entry in entries if (number, entry[1]) in chosen]
        if entries:
            keys, rows = [key for key, _, _ in entries], np.array([row for _, row, _ in entries], np.int64)
            listed = _listed(stored, snapshot, keys, rows, entries[0][2], pipeline)
            yield from (one for one in listed if not firing or one.alert == "firing")


def _silent(stored: Stored, snapshot: Snapshot, pipeline: Pipeline) -> set[tuple[int, int]]:
    """(block, row) of the streams that had fallen silent by the snapshot; none if another version wrote it."""
    places: list[tuple[int, int]] = []
    found, known = [], layout(pipeline.table.fields)
    for number, group in groupby(streams(stored, snapshot), key=lambda each: each[2].block.number):
        entries = [(row, read) for key, row, read in group if not key.is_group]
        if entries and layout(entries[0][1].fields) == known:
            state, rows = entries[0][1].block.columns, [row for row, _ in entries]
            places += [(number, row) for row in rows]
            found.append(np.stack([state[LATEST.name][rows], state[INTERVAL.name][rows]]))
    if snapshot.newest_sample is None or not found:
        return set()
    latest, interval = np.concatenate(found, axis=1)
    return {places[at] for at in np.flatnonzero(heard(latest, interval, snapshot.newest_sample).silent).tolist()}


def _listed(
    stored: Stored,
    snapshot: Snapshot,
    keys: list[SeriesKey],
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    read: StoredBlock,
    pipeline: Pipeline,
) -> Iterator[ListedStream]:
    """Ask the parts of the pipeline about all rows of a block at once."""
    topic, partition = stored.partition
    names = [ListedStream(topic, partition, snapshot.offset, str(key), key.fingerprint) for key in keys]
    if layout(read.fields) != layout(pipeline.table.fields):
        yield from names
        return
    state, forecaster = read.block.columns, pipeline.forecaster
    columns = zip(
        names,
        [key.is_group for key in keys],
        state[LATEST.name][rows].tolist(),
        state["flat_last"][rows].tolist(),
        state["value_count"][rows].tolist(),
        pipeline.scorer.warming(state, rows).tolist(),
        forecaster.fallback(state, rows).tolist(),
        forecaster.skill(state, rows).tolist(),
        state["alert.status"][rows].tolist(),
        state["alert.starts_at"][rows].tolist(),
        state["alert.worst"][rows].tolist(),
        state[DELIVERY.name][rows].tolist(),
        strict=True,
    )
    for name, is_group, latest, value, samples, young, fallback, skill, *alert in columns:
        found = _with_alert(replace(name, last_time=time_text(latest)), *alert)
        if is_group:
            yield replace(found, alert_value=None, alert_expected=None)
        else:
            yield replace(
                found,
                last_value=float(value),
                samples=int(samples),
                warming_up=bool(young),
                forecaster=forecaster.names[int(fallback)],
                skill=float(skill),
            )


def _with_alert(one: ListedStream, status: int, since: float, worst: list[float], held: int) -> ListedStream:
    alert = AlertStatus(status)
    one = replace(one, alert=alert.name.lower())
    if alert not in (AlertStatus.PENDING, AlertStatus.FIRING):
        return one
    return replace(
        one,
        alert_since=time_text(since),
        alert_held=HELD.get(held) if alert == AlertStatus.FIRING else None,
        alert_value=worst[VALUE],
        alert_expected=worst[EXPECTED],
        alert_score=worst[SCORE],
    )
