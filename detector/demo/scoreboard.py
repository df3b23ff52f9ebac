"""What the demo knows that the daemon does not: where the faults are. Compares alerts with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from detector.demo.source import PARTITION
from detector.protocols import Message
from detector.records import Alert, AlertStatus, RawBatch
from detector.series import SeriesKey
from detector.synthetic.fleet import Fleet, FleetFault

GRACE_ROUNDS = 10
"""An alert this soon after a fault's last sample belongs to the fault: the return to normal stands out too."""


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """How the run went; delays in simulated time, from a fault's first sample to the sample that fired the alert."""

    faults: int
    caught: int
    false_alerts: int
    median_delay_seconds: float | None


class Scoreboard:
    """Fed by the worker's thread; the view reads it from another one.

    What is wrong in the machine's own metrics is unknown: their alerts are shown but not judged.
    """

    def __init__(self, fleet: Fleet, history_rounds: int, say: Callable[[str], None]) -> None:
        self.fleet = fleet
        self.history_rounds = history_rounds
        self.round = 0
        self.records = 0
        self.host_streams = 0
        self.firing: dict[SeriesKey, Alert] = {}
        self.false_alerts: list[Alert] = []
        self.delays: dict[int, float] = {}
        """Fault number -> seconds."""
        self.news: deque[str] = deque(maxlen=8)
        self._say = say
        self._fault_of = {fleet.key(fault.stream): number for number, fault in enumerate(fleet.faults)}
        self.stream_of = {fleet.key(stream): stream for stream in range(len(fleet.names))}
        self._begun = 0

    @property
    def begun(self) -> tuple[FleetFault, ...]:
        """Faults whose first sample was delivered."""
        return self.fleet.faults[: self._begun]

    @property
    def summary(self) -> DemoSummary:
        """Summary of the faults that have begun."""
        delay = median(self.delays.values()) if self.delays else None
        return DemoSummary(self._begun, len(self.delays), len(self.false_alerts), delay)

    def observe_rounds(self, delivered: int) -> None:
        """The source delivered every round before `delivered`."""
        self.round = delivered
        if delivered == self.history_rounds:
            self._tell(f"history of {delivered} rounds learned, faults begin")
        while self._begun < len(self.fleet.faults) and self.fleet.faults[self._begun].first < delivered:
            fault = self.fleet.faults[self._begun]
            self._begun += 1
            self._tell(f"fault   {fault.kind} begins in {self.fleet.key(fault.stream)}")

    def observe_records(self, batch: RawBatch) -> None:
        """The source delivered these."""
        self.records += len(batch)
        if batch.topic != PARTITION[0]:
            self.host_streams = len(batch)

    def encode(self, alert: Alert) -> Message:
        """Take the place of an encoder, to see every alert."""
        if alert.status == AlertStatus.RESOLVED:
            self.firing.pop(alert.series, None)
            self._tell(f"normal  {alert.series}")
        else:
            self.firing[alert.series] = alert
            band = f"expected {alert.lower:.6g} to {alert.upper:.6g}"
            self._tell(f"alert   {self._verdict(alert)}: {alert.series} is {alert.value:.6g}, {band}")
        return Message(None, None)

    def _verdict(self, alert: Alert) -> str:
        if alert.topic != PARTITION[0]:
            return "on this machine"
        number = self._fault_of.get(alert.series)
        if number is not None:
            fault = self.fleet.faults[number]
            step_seconds = float(self.fleet.times_T[1] - self.fleet.times_T[0])
            begins = float(self.fleet.times_T[fault.first])
            ends = float(self.fleet.times_T[fault.last])
            if begins <= alert.starts_at <= ends + GRACE_ROUNDS * step_seconds:
                if number in self.delays:
                    return f"{fault.kind} again"
                self.delays[number] = alert.time - begins
                return f"{fault.kind} caught after {self.delays[number]:.0f} s"
        self.false_alerts.append(alert)
        return "false"

    def _tell(self, text: str) -> None:
        self.news.append(text)
        self._say(text)
