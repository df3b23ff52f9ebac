"""Which changes of alerts are sent to subscribers, and what the messages say.

An alert that begins within an interval of `alerts.mute` is held back: it is open, but nothing is sent. It is sent when
it still fires at its stream's first sample after the interval, and never if it ends before. An alert that was sent
before the interval began goes on as usual, its end included. All that is sent of an alert has the severity that it was
first sent with: labels are an alert's identity.

Where only a group's alert is told (`groups.alert_members`), those of its members are held back likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detector.alerts.mute import Mutes
from detector.alerts.record import alert_id
from detector.columns import Bool, Rows
from detector.pipeline.groups import Groups, contributors
from detector.protocols import Forecaster
from detector.records import ALERT_TOLD, Alert, AlertStatus, Direction, Float64, Partition, Severity, Uint8
from detector.streams.membership import GROUP
from detector.streams.rates import Rates
from detector.streams.table import LATEST, StreamTable

MUTED, GROUPS_OWN = 1, 2
"""Column `alert.held`: why the alert is held back, beside the two of `ALERT_TOLD`. It is written as alerts begin."""
WARNING_TOLD, CRITICAL_TOLD = ALERT_TOLD


@dataclass(frozen=True, slots=True)
class Model:
    """A forecaster under the name that alerts give it."""

    name: str
    forecaster: Forecaster


class Due(NamedTuple):
    """Which alerts, of the rows that were asked about."""

    told: list[int]
    """Positions whose alert begins, ends, or is no longer held back, and is to be sent."""
    muted: list[tuple[int, str]]
    """Positions whose alert begins and is held back, and the interval's name."""


class Notifications:
    """Makes the messages about the alerts of a stream table; writes its column `alert.held` and no other."""

    def __init__(
        self,
        table: StreamTable,
        rates: Rates,
        model_of: Callable[[Partition], Model],
        mutes: Mutes,
        groups: Groups | None,
        critical_score: float,
    ) -> None:
        """From `critical_score` on an alert is critical."""
        self._table = table
        self._rates = rates
        self._model_of = model_of
        self._mutes = mutes
        self._groups = groups
        self._critical_score = critical_score

    def due(self, rows: Rows, times: Float64, before: Uint8, status: Uint8) -> Due:
        """What is to be sent; `before` and `status` are the alerts' before and after the samples at `times`."""
        held = self._table.columns["alert.held"]
        ends = status == AlertStatus.RESOLVED
        begins = (status == AlertStatus.FIRING) & (before != AlertStatus.FIRING)
        waits = np.zeros_like(begins)
        firing = np.flatnonzero(status == AlertStatus.FIRING)
        silent = self._are_groups_own(rows)
        why = held[rows[firing]]
        waits[firing] = (why != WARNING_TOLD) & (why != CRITICAL_TOLD) & ~silent[firing]
        due = Due([], [])
        for at in np.flatnonzero(begins | ends | waits).tolist():
            row = int(rows[at])
            interval = None
            if ends[at]:
                hold = held[row]
            elif silent[at]:
                hold = GROUPS_OWN
            else:
                interval = self._mutes.interval(self._table.key(row), float(times[at]))
                hold = self._told(row) if interval is None else MUTED
            if hold in ALERT_TOLD:
                due.told.append(at)
            if begins[at] and interval is not None:
                due.muted.append((at, interval))
            held[row] = hold
        return due

    def alert(self, partition: Partition, row: int, status: AlertStatus, time: float) -> Alert:
        """The row's alert as it is now, changed to `status` by a sample at `time`."""
        state, rows = self._table.columns, np.array([row], dtype=np.int64)
        key, model = self._table.key(row), self._model_of(partition)
        worst_time, value, expected, lower, upper, score = state["alert.worst"][row].tolist()
        starts_at = float(state["alert.starts_at"][row])
        members, ranked = contributors(self._table, partition, row) if key.is_group else (0, ())
        return Alert(
            id=alert_id(key, *partition, starts_at),
            status=status,
            series=key,
            starts_at=starts_at,
            # Of a group whose member's clock was ahead, what ended it may have come before what began it.
            ends_at=max(float(time), starts_at) if status == AlertStatus.RESOLVED else None,
            time=float(time),
            worst_time=worst_time,
            value=value,
            expected=expected,
            lower=lower,
            upper=upper,
            anomaly_score=score,
            direction=Direction.BELOW if value < expected else Direction.ABOVE,
            severity=Severity.CRITICAL if state["alert.held"][row] == CRITICAL_TOLD else Severity.WARNING,
            topic=partition[0],
            partition=partition[1],
            offset=int(state["alert.worst_offset"][row]),
            model=model.name,
            forecaster=model.forecaster.names[int(model.forecaster.fallback(state, rows)[0])],
            skill=float(model.forecaster.skill(state, rows)[0]),
            per_second=bool(self._rates.are_scored(state, rows)[0]),
            members=members,
            contributors=ranked,
        )

    def ended(self, partition: Partition, rows: Rows) -> Iterator[Alert]:
        """The alerts that subscribers know to be open, of streams that are forgotten: they end at the last sample."""
        return self._known_open(partition, rows, AlertStatus.RESOLVED)

    def open(self, partition: Partition) -> Iterator[Alert]:
        """The alerts that subscribers know to be open, as they are at their stream's last sample."""
        return self._known_open(partition, self._table.occupied(partition), AlertStatus.FIRING)

    def _known_open(self, partition: Partition, rows: Rows, status: AlertStatus) -> Iterator[Alert]:
        """Those of these streams, as alerts that have come to `status`."""
        state = self._table.columns
        told = np.isin(state["alert.held"][rows], ALERT_TOLD)
        open_rows = rows[(state["alert.status"][rows] == AlertStatus.FIRING) & told]
        for row in open_rows.tolist():
            yield self.alert(partition, row, status, float(state[LATEST.name][row]))

    def _told(self, row: int) -> int:
        """How the alert, which is sent for the first time, is remembered."""
        return CRITICAL_TOLD if self._table.columns["alert.worst"][row, -1] >= self._critical_score else WARNING_TOLD

    def _are_groups_own(self, rows: Rows) -> Bool:
        """[B] of which streams only the group's alert is told."""
        if self._groups is None or self._groups.settings.alert_members:
            return np.zeros(len(rows), dtype=np.bool_)
        return np.asarray(self._table.columns[GROUP.name][rows] >= 0)
