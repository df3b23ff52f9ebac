"""Which changes of alerts are sent to subscribers, and what the messages contain.

An alert that begins within an interval of `alerts.mute` is held back: it is open, but nothing is sent. If it still
fires at its stream's first sample after the interval, it is sent then; if it ends before, it is never sent. An alert
that was sent before the interval began continues as usual, including its end. All messages about an alert have the
severity of the first one, because labels are an alert's identity.

If only groups send alerts (`groups.alert_members: false`), those of their members are held back as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detector.alerts.mute import Mutes
from detector.alerts.record import alert_id
from detector.columns import Bool, Field, Rows, reset
from detector.pipeline.groups import Groups, contributors
from detector.protocols import Forecaster
from detector.records import ALERT_SENT, Alert, AlertStatus, Delivery, Direction, Float64, Partition, Severity, Uint8
from detector.streams.membership import GROUP
from detector.streams.rates import Rates
from detector.streams.table import LATEST, StreamTable

DELIVERY = Field("alert.held", dtype="uint8", initial=Delivery.SENT_AS_WARNING)
"""The `Delivery` of the open alert."""


@dataclass(frozen=True, slots=True)
class Model:
    """A forecaster, and its name in alerts."""

    name: str
    forecaster: Forecaster


class Due(NamedTuple):
    """Positions, among the rows asked about, of alerts that are due."""

    to_send: list[int]
    """Alerts to send, because they begin, end, or are no longer held back."""
    muted: list[tuple[int, str]]
    """Alerts that begin muted, with the interval's name."""


class Notifications:
    """Makes the messages about the alerts of a stream table; writes only its column `DELIVERY`."""

    fields = (DELIVERY,)

    def __init__(
        self,
        table: StreamTable,
        rates: Rates,
        model_of: Callable[[Partition], Model],
        mutes: Mutes,
        groups: Groups | None,
        critical_score: float,
    ) -> None:
        """An alert is critical if its score is at least `critical_score`."""
        self._table = table
        self._rates = rates
        self._model_of = model_of
        self._mutes = mutes
        self._groups = groups
        self._critical_score = critical_score

    def decide(self, rows: Rows, times: Float64, before: Uint8, status: Uint8) -> Due:
        """Decide what to send, and note it; `before` and `status` are the alerts' before and after these samples."""
        delivery = self._table.columns[DELIVERY.name]
        ends = status == AlertStatus.RESOLVED
        begins = (status == AlertStatus.FIRING) & (before != AlertStatus.FIRING)
        waits = np.zeros_like(begins)
        firing = np.flatnonzero(status == AlertStatus.FIRING)
        silent = self._are_groups_own(rows)
        known = delivery[rows[firing]]
        waits[firing] = (known != Delivery.SENT_AS_WARNING) & (known != Delivery.SENT_AS_CRITICAL) & ~silent[firing]
        due = Due([], [])
        for at in np.flatnonzero(begins | ends | waits).tolist():
            row = int(rows[at])
            interval = None
            if ends[at]:
                now = delivery[row]
            elif silent[at]:
                now = Delivery.LEFT_TO_GROUP
            else:
                interval = self._mutes.interval(self._table.key(row), float(times[at]))
                now = self._if_sent(row) if interval is None else Delivery.MUTED
            if now in ALERT_SENT:
                due.to_send.append(at)
            if begins[at] and interval is not None:
                due.muted.append((at, interval))
            delivery[row] = now
        return due

    def alert(self, partition: Partition, row: int, status: AlertStatus, time: float) -> Alert:
        """The row's current alert, changed to `status` by a sample at `time`."""
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
            # If a member's clock was ahead, the end of a group's alert may lie before its start.
            ends_at=max(float(time), starts_at) if status == AlertStatus.RESOLVED else None,
            time=float(time),
            worst_time=worst_time,
            value=value,
            expected=expected,
            lower=lower,
            upper=upper,
            anomaly_score=score,
            direction=Direction.BELOW if value < expected else Direction.ABOVE,
            severity=Severity.CRITICAL if state[DELIVERY.name][row] == Delivery.SENT_AS_CRITICAL else Severity.WARNING,
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
        """Ends, as of the last sample, of the alerts of forgotten streams that subscribers know to be open."""
        return self._known_open(partition, rows, AlertStatus.RESOLVED)

    def open(self, partition: Partition) -> Iterator[Alert]:
        """The alerts that subscribers know to be open, as of their streams' last samples."""
        return self._known_open(partition, self._table.occupied(partition), AlertStatus.FIRING)

    def forget(self, rows: Rows) -> None:
        """These rows have no alert any more."""
        reset(self.fields, self._table.columns, rows)

    def _known_open(self, partition: Partition, rows: Rows, status: AlertStatus) -> Iterator[Alert]:
        """Alerts of these rows that subscribers know to be open, with the status `status`."""
        state = self._table.columns
        sent = np.isin(state[DELIVERY.name][rows], ALERT_SENT)
        open_rows = rows[(state["alert.status"][rows] == AlertStatus.FIRING) & sent]
        for row in open_rows.tolist():
            yield self.alert(partition, row, status, float(state[LATEST.name][row]))

    def _if_sent(self, row: int) -> Delivery:
        """The delivery of an alert that is sent for the first time."""
        is_critical = self._table.columns["alert.worst"][row, -1] >= self._critical_score
        return Delivery.SENT_AS_CRITICAL if is_critical else Delivery.SENT_AS_WARNING

    def _are_groups_own(self, rows: Rows) -> Bool:
        """[B] whether only the group of the stream sends alerts."""
        if self._groups is None or self._groups.settings.alert_members:
            return np.zeros(len(rows), dtype=np.bool_)
        return np.asarray(self._table.columns[GROUP.name][rows] >= 0)
