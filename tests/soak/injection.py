"""Injects the faults of the schedule into the rig, on one thread."""

from __future__ import annotations

import heapq
import json
import math
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # which names them in no list
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.sinks.hook import Hook
from tests.soak.daemons import Slot
from tests.soak.faults import Fault
from tests.soak.machine import FAILING, FULL, SOUND
from tests.soak.progress import ANSWER_SECONDS
from tests.soak.rig import Rig


class Injection:
    """The faults that are due, and the number of each kind so far. The clock starts with `start`."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.happened: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._began_at = time.monotonic()

    def start(self, faults: list[Fault]) -> None:
        (self.rig.folder / "schedule.json").write_text(json.dumps([fault.__dict__ for fault in faults], indent=1))
        self._began_at = time.monotonic()
        for fault in faults:
            self._at(fault.at, partial(self._begin, fault))

    def do_due(self) -> None:
        """Begin and end the faults that are due."""
        while self._events and self._events[0][0] <= self.elapsed:
            heapq.heappop(self._events)[2]()

    @property
    def done(self) -> bool:
        """Whether all faults are over."""
        return not self._events

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began_at

    def _at(self, elapsed: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (elapsed, next(self._order), action))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(self.elapsed + seconds, action)

    def _begin(self, fault: Fault) -> None:
        before = self.happened.total()
        getattr(self, f"_{fault.kind}")(fault)
        if self.happened.total() > before:
            with (self.rig.folder / "happened.jsonl").open("a") as file:
                file.write(json.dumps({"elapsed": round(self.elapsed, 1), **fault.__dict__}) + "\n")

    def _running(self, fault: Fault) -> Slot | None:
        """The target, or the next running daemon."""
        ring = [self.rig.slots[(fault.target + step) % len(self.rig.slots)] for step in range(len(self.rig.slots))]
        return next((slot for slot in ring if slot.running), None)

    def _kill(self, fault: Fault) -> None:
        slot = self._running(fault)
        if slot is not None and slot.process is not None:
            slot.process.send(signal.SIGKILL, "kill")
            self.happened["kill"] += 1

    def _terminate(self, fault: Fault) -> None:
        slot = self._running(fault)
        if slot is not None and slot.process is not None:
            slot.process.send(signal.SIGTERM, "terminate")
            self.happened["terminate"] += 1

    def _freeze(self, fault: Fault) -> None:
        slot = self._running(fault)
        if slot is not None and slot.process is not None:
            process = slot.process
            process.send(signal.SIGSTOP)
            self.happened["freeze"] += 1
            self._after(fault.seconds, lambda: process.send(signal.SIGCONT))

    def _replace(self, fault: Fault) -> None:
        slot = self._running(fault)
        if slot is not None and slot.process is not None:
            process = slot.process
            slot.replace()
            self.happened["replace"] += 1
            self._after(fault.seconds, lambda: process.send(signal.SIGCONT))
            self._after(fault.seconds + 10, lambda: process.send(signal.SIGTERM, "terminate"))

    def _cut(self, fault: Fault) -> None:
        self._hurt_link(fault, "cut")

    def _stall(self, fault: Fault) -> None:
        self._hurt_link(fault, "stall")

    def _slow(self, fault: Fault) -> None:
        self._hurt_link(fault, "slow", fault.amount)

    def _hurt_link(self, fault: Fault, name: str, *arguments: float) -> None:
        link = self.rig.slots[fault.target].link
        self.rig.network.do(link, name, *arguments)
        self.happened[name] += 1
        self._after(fault.seconds, lambda: self.rig.network.do(link, "mend"))

    def _clock(self, fault: Fault) -> None:
        machine = self.rig.slots[fault.target].machine
        machine.clock_ahead_seconds = int(fault.amount)
        self.happened["clock"] += 1
        self._after(fault.seconds, lambda: setattr(machine, "clock_ahead_seconds", 0))

    def _disk_full(self, fault: Fault) -> None:
        self._hurt_disk(fault, FULL)

    def _disk_failing(self, fault: Fault) -> None:
        self._hurt_disk(fault, FAILING)

    def _hurt_disk(self, fault: Fault, state: int) -> None:
        on_disk = [slot for slot in self.rig.slots if slot.settings["state"]["type"] == "directory"]
        machine = on_disk[fault.target % len(on_disk)].machine
        machine.disk = state
        self.happened[fault.kind] += 1
        self._after(fault.seconds, lambda: setattr(machine, "disk", SOUND))

    def _broker_kill(self, fault: Fault) -> None:
        broker = self.rig.cluster.brokers[fault.target]
        broker.kill()
        self.happened["broker_kill"] += 1
        self._after(fault.seconds, broker.start)

    def _broker_freeze(self, fault: Fault) -> None:
        broker = self.rig.cluster.brokers[fault.target]
        broker.pause()
        self.happened["broker_freeze"] += 1
        self._after(fault.seconds, broker.resume)

    def _sink_refuses(self, fault: Fault) -> None:
        until = self.elapsed + fault.seconds
        self._limit_alerts(AlterConfigOpType.SET, until)
        self.happened["sink_refuses"] += 1
        self._at(until, self.accept_alerts)

    def accept_alerts(self) -> None:
        """Lift the limit, also if a frozen broker may set it after it was lifted."""
        self._limit_alerts(AlterConfigOpType.DELETE)

    def _limit_alerts(self, operation: AlterConfigOpType, until: float = math.inf) -> None:
        """Limit records to one byte, so that each is rejected."""
        limit = [ConfigEntry("max.message.bytes", "1", incremental_operation=operation)]
        resources = [
            ConfigResource(ResourceType.TOPIC, group.alerts, incremental_configs=limit) for group in self.rig.groups
        ]
        try:
            for future in self.rig.kafka.admin.incremental_alter_configs(
                resources, request_timeout=ANSWER_SECONDS
            ).values():
                future.result(2 * ANSWER_SECONDS)
        except (KafkaException, TimeoutError):
            if self.elapsed + 1.0 < until:
                self._after(1.0, lambda: self._limit_alerts(operation, until))

    def _hook_fails(self, fault: Fault) -> None:
        self._hurt_hook(fault, Hook.fail)

    def _hook_hangs(self, fault: Fault) -> None:
        self._hurt_hook(fault, Hook.hang)

    def _hook_dies(self, fault: Fault) -> None:
        self._hurt_hook(fault, Hook.die)

    def _hurt_hook(self, fault: Fault, act: Callable[[Hook], None]) -> None:
        hook = self.rig.groups[fault.target % len(self.rig.groups)].hook
        act(hook)
        self.happened[fault.kind] += 1
        self._after(fault.seconds, hook.mend)

    def _scale(self, fault: Fault) -> None:
        group = self.rig.groups[0]
        self.happened["scale"] += 1
        group.scale(1)
        self._after(fault.seconds / 2, lambda: group.scale(len(group.slots)))
        self._after(fault.seconds, lambda: group.scale(group.usual))
