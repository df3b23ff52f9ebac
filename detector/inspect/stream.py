"""One stream of a snapshot: what its columns mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from detector.pipeline import Pipeline
from detector.protocols import Stored
from detector.records import AlertStatus, rfc3339
from detector.scoring.interval import INTERVAL
from detector.series import SeriesKey
from detector.state.block import StoredBlock, layout
from detector.state.survey import Snapshot, streams
from detector.streams.rates import TOTAL
from detector.streams.table import LATEST

_LABEL = re.compile(r'([^=,{}\s]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class StoredStream:
    """A stream in a snapshot."""

    topic: str
    partition: int
    offset: int
    """The snapshot's."""
    block: int
    row: int
    series: str
    fingerprint: str
    labels: dict[str, str]
    meaning: dict[str, Any] | None
    """What its columns mean; None if another version wrote them."""
    columns: dict[str, Any]
    """Every column as it is stored."""


def find(stored: Stored, snapshot: Snapshot, wanted: str, pipeline: Pipeline, others: list[str]) -> StoredStream | None:
    """Find a stream by fingerprint, or `name{label="value"}` with labels in any order. Others go to `others`."""
    names = {wanted, _in_order(wanted)}
    for key, row, read in streams(stored, snapshot):
        if key.fingerprint in names or str(key) in names:
            return _described(stored, snapshot, key, row, read, pipeline)
        others.append(str(key))
    return None


def _in_order(wanted: str) -> str:
    """A series as it is written everywhere else.

    >>> _in_order('cpu{host2="b", host="a,}"}'), _in_order("up")
    ('cpu{host="a,}",host2="b"}', 'up')
    """
    name, brace, labels = wanted.partition("{")
    found = ",".join(f'{label}="{value}"' for label, value in sorted(_LABEL.findall(labels)))
    return f"{name}{{{found}}}" if brace else wanted


def _described(
    stored: Stored, snapshot: Snapshot, key: SeriesKey, row: int, read: StoredBlock, pipeline: Pipeline
) -> StoredStream:
    ours = layout(read.fields) == layout(pipeline.table.fields)
    return StoredStream(
        *stored.partition,
        offset=snapshot.offset,
        block=read.block.number,
        row=row,
        series=str(key),
        fingerprint=key.fingerprint,
        labels=dict(key.labels),
        meaning=_meaning(read, row, pipeline) if ours else None,
        columns={name: column[row].tolist() for name, column in read.block.columns.items()},
    )


def _meaning(read: StoredBlock, row: int, pipeline: Pipeline) -> dict[str, Any]:
    """Ask the parts of the pipeline; none of them writes here."""
    state, rows = read.block.columns, np.array([row], dtype=np.int64)
    latest, status = float(state[LATEST.name][row]), AlertStatus(int(state["alert.status"][row]))
    forecaster = pipeline.forecaster
    found: dict[str, Any] = {
        "last_time": time_text(latest),
        "last_value": float(state["flat_last"][row]),
        "samples": int(state["value_count"][row]),
        "interval_seconds": float(state[INTERVAL.name][row]),
        "warming_up": bool(pipeline.scorer.warming(state, rows)[0]),
        **_expectation(read, row, pipeline),
        "forecaster": forecaster.names[int(forecaster.fallback(state, rows)[0])],
        "skill": float(forecaster.skill(state, rows)[0]),
        "alert": status.name.lower(),
    }
    if status in (AlertStatus.PENDING, AlertStatus.FIRING):
        found["alert_since"] = time_text(float(state["alert.starts_at"][row]))
        worst = dict(zip(_WORST, state["alert.worst"][row].tolist(), strict=True))
        found["alert_worst"] = {
            **worst,
            "time": time_text(worst["time"]),
            "offset": int(state["alert.worst_offset"][row]),
        }
    if np.isfinite(state[TOTAL.name][row]):
        found["last_total"] = float(state[TOTAL.name][row])
    return found


def _expectation(read: StoredBlock, row: int, pipeline: Pipeline) -> dict[str, Any]:
    """The forecast of the next sample, and the band outside of which it would be unusual."""
    state, rows = read.block.columns, np.array([row], dtype=np.int64)
    forecast = pipeline.forecaster.stored(state, rows)
    if not np.isfinite(forecast.loc[0]):
        return {"forecast": None, "band": None}
    times = state[LATEST.name][rows] + np.maximum(state[INTERVAL.name][rows], 0.0)
    score = pipeline.scorer.score(state, rows, times, forecast.loc, forecast.loc, forecast.scale)
    return {"forecast": float(score.expected[0]), "band": [float(score.lower[0]), float(score.upper[0])]}


def time_text(unix_seconds: float) -> str | None:
    """RFC 3339 text; None for a time that never was."""
    return rfc3339(unix_seconds) if np.isfinite(unix_seconds) else None


_WORST = ("time", "value", "expected", "lower", "upper", "anomaly_score")
