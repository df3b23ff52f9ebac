"""One run: cluster, daemons, load, the faults of a schedule, a quiet time, then the comparison with the oracle."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.kafka.memory import ROOM_BYTES, data_folder
from tests.soak.daemons import End, Process, Slot
from tests.soak.faults import schedule
from tests.soak.injection import Injection
from tests.soak.load import PARTITIONS, STREAMS
from tests.soak.machine import SOUND
from tests.soak.oracle import compare, oracle
from tests.soak.rig import BROKERS, Rig
from tests.soak.verdict import Verdict

ASKED = {"": "by itself", "kill": "after kill -9", "terminate": "after SIGTERM"}
SAID = (
    "the state cannot be written",
    "state topic",
    "delivering to topic",
    "are not acknowledged",
    "alerts are not accepted",
    "another member has taken the place",
    "being rebalanced",
    "no broker at",
    "no answer from",
    "Timeout",
)
"""What a daemon says when it ends with an error, from the special to the general."""
TICK_SECONDS = 0.1
SAY_SECONDS = 30.0
CATCH_UP_SECONDS = 900.0
BYTES_A_SECOND = 5e6
"""Three brokers write no more than that."""
NORMAL_ENDS = {
    "": {1},
    "kill": {-signal.SIGKILL, 1},
    "terminate": {0, 1, -signal.SIGTERM, 128 + signal.SIGTERM, -signal.SIGKILL},
}
"""What was asked of a process -> how it may end. SIGTERM ends one that has not started yet; a second one forces it."""


@dataclass(frozen=True)
class Plan:
    """What determines a run, besides the commit."""

    seed: int
    seconds: float
    mean_gap_seconds: float
    rate: float = 400.0
    """Samples a second."""
    checkpoint_seconds: float = 3.0


class Run:
    """`Run(plan, folder, say).go()` returns the verdict; logs and data are in `folder`."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.folder = folder
        self.say = say

    def go(self) -> Verdict:
        plan = self.plan
        with ExitStack() as stack:
            self.say("three brokers start")
            data = stack.enter_context(data_folder(self.folder, ROOM_BYTES + int(plan.seconds * BYTES_A_SECOND)))
            self.rig = Rig(self.folder, data, plan.seed, plan.rate, plan.checkpoint_seconds, stack)
            self.injection = Injection(self.rig)
            self.say("the streams are warmed up")
            self.rig.load.prime()
            self._scale_to_usual()
            self._tick_until(self._caught_up)
            self._suffer()
            verdict = self._quiet_down()
            self.say("the oracle reads")
            self._compare(verdict)
        (self.folder / "verdict.json").write_text(verdict.json())
        (self.folder / "verdict.md").write_text(verdict.markdown())
        return verdict

    def _suffer(self) -> None:
        plan, progress = self.plan, self.rig.progress
        faults = schedule(plan.seed, plan.seconds, plan.mean_gap_seconds, len(self.rig.slots), BROKERS)
        progress.longest = dict.fromkeys(progress.longest, 0.0)
        self.rig.load.start()
        self.injection.start(faults)
        self.say(f"{len(faults)} faults in {plan.seconds:.0f} s")
        self._tick_until(
            lambda: self.injection.done and self.injection.elapsed >= plan.seconds, plan.seconds + CATCH_UP_SECONDS
        )
        self.say("no more faults")

    def _quiet_down(self) -> Verdict:
        rig = self.rig
        for slot in rig.slots:
            slot.machine.clock_ahead_seconds, slot.machine.disk = 0, SOUND
            rig.network.do(slot.link, "mend")
        for group in rig.groups:
            group.hook.mend()
        self._scale_to_usual()
        for broker in rig.cluster.brokers:
            broker.wait_started()
        self.injection.accept_alerts()
        rig.load.finish()
        self.say("the daemons catch up")
        verdict = Verdict(_commit(), self.plan.seed, self.plan.seconds, STREAMS, PARTITIONS)
        verdict.catch_up_seconds = self._tick_until(self._caught_up)
        verdict.longest_standstill_seconds = dict(rig.progress.longest)
        self._tick_until(lambda: all(_ready(slot) for slot in rig.slots))
        verdict.problems += [problem for slot in rig.slots for problem in _accounting(slot)]
        last = {slot.name: _terminate(slot) for slot in rig.slots if slot.running}
        verdict.problems += [
            f"{name} ended with {status} when all was quiet" for name, status in last.items() if status
        ]
        for slot in rig.slots:
            slot.wanted = False
            slot.supervise()
        self._count(verdict)
        return verdict

    def _count(self, verdict: Verdict) -> None:
        rig = self.rig
        ends = [end for slot in rig.slots for end in slot.ends]
        verdict.faults = dict(self.injection.happened.most_common())
        verdict.daemons = len(rig.slots)
        verdict.starts = len(ends)
        verdict.ends = dict(Counter(_manner(end) for end in ends).most_common())
        verdict.records = sum(rig.load.ends)
        verdict.connections = rig.network.connections
        verdict.most_resident_bytes = max(slot.most_resident_bytes for slot in rig.slots)
        verdict.problems += [
            f"{end.slot} (pid {end.pid}) ended with {end.status}: {end.said}"
            for end in ends
            if end.status not in NORMAL_ENDS[end.asked] or not end.explained
        ]

    def _compare(self, verdict: Verdict) -> None:
        rig = self.rig
        truth = oracle(rig.kafka, rig.config(rig.groups[0]), rig.topic, PARTITIONS)
        verdict.samples = {**truth.outcomes, "dead_lettered": len(truth.rejects)}
        verdict.groups = {
            group.name: compare(rig.kafka, rig.config(group), truth, group.hook.taken) for group in rig.groups
        }
        if not truth.alerts or not truth.rejects or not truth.pipeline.table.expired:
            verdict.problems.append("the input has no alerts, no broken records, or no stream that falls silent")

    def _scale_to_usual(self) -> None:
        for group in self.rig.groups:
            group.scale(group.usual)

    def _caught_up(self) -> bool:
        return self.rig.progress.behind == 0

    def _tick_until(self, done: Callable[[], bool], timeout_seconds: float = CATCH_UP_SECONDS) -> float:
        """Inject what is due and keep the daemons running until `done`; returns the seconds it took."""
        began = said_at = time.monotonic()
        while not done():
            now = time.monotonic()
            if now - began > timeout_seconds:
                raise AssertionError(f"not done within {timeout_seconds:.0f} s: {self._state()}")
            self.injection.do_due()
            for slot in self.rig.slots:
                slot.supervise()
                slot.measure()
            if now - said_at > SAY_SECONDS:
                said_at = now
                self.say(self._state())
            time.sleep(TICK_SECONDS)
        return time.monotonic() - began

    def _state(self) -> str:
        happened, rig = self.injection.happened, self.rig
        ends = sum(len(slot.ends) for slot in rig.slots)
        return (
            f"{self.injection.elapsed / 60:.1f} min: {happened.total()} faults, {happened['kill']} kills, {ends} ends; "
            f"{sum(rig.load.ends):,} records, {rig.progress.behind:,} behind"
        )


def _manner(end: End) -> str:
    """How a process ended, in a form that can be counted."""
    why = ASKED[end.asked]
    if end.status != 1:
        return f"{why}: {f'signal {-end.status}' if end.status < 0 else f'status {end.status}'}"
    about = next((words for words in SAID if words in end.said), "another error")
    return f"{why}: status 1, {about}"


def _ready(slot: Slot) -> bool:
    """Whether the slot is empty as wanted, or its daemon is ready."""
    if not slot.wanted:
        return not list(slot.processes)
    return slot.running is not None and _get(slot.running, "/-/ready") is not None


def _get(process: Process, path: str) -> str | None:
    """The page; None without an answer."""
    try:
        with urllib.request.urlopen(f"http://{process.address}{path}", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return None


def _accounting(slot: Slot) -> list[str]:
    """G16, after the load: consumed = scored + late + duplicate + warmup + discarded + dead-lettered."""
    page = None
    while page is None and slot.running is not None:
        page = _get(slot.running, "/metrics")
    families = text_string_to_metric_families(page or "")
    samples = [sample for family in families for sample in family.samples]
    consumed = sum(sample.value for sample in samples if sample.name == "detector_samples_consumed_total")
    accounted = sum(sample.value for sample in samples if sample.name == "detector_samples_total")
    return [] if consumed == accounted else [f"{slot.name}: {consumed:.0f} samples consumed, {accounted:.0f} accounted"]


def _terminate(slot: Slot) -> int:
    assert slot.process is not None
    slot.process.send(signal.SIGTERM, "terminate")
    return slot.process.popen.wait(300)


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"
