"""A world in which processes die: a log, what broker and disk keep, and successive workers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from detector.alerts import AlertRecord, Lifecycle
from detector.config import Config
from detector.config.webhook import Webhook
from detector.decoders import DECODERS
from detector.pipeline import Pipeline
from detector.protocols import Forecaster, Message, StateStore
from detector.records import Partition
from detector.scoring import Scorer, ScorerSettings
from detector.sinks.dead_letter import DeadLetterRecord
from detector.sinks.webhook import WebhookSink
from detector.state.block import encode_block
from detector.telemetry import Health, Notifier, Telemetry, new_registry
from detector.testing import LastValueForecaster, ListSink, LogSource, ManualClock, MemoryStore, log_to
from detector.worker import Worker
from detector.worker.outlets import Outlet
from detector.worker.snapshots import Snapshots
from tests.guarantees.accounting import AuditedMetrics

START = 1_700_000_000
FINGERPRINT = {"model": "last-value"}
EXPIRY_SECONDS = 900.0
Log = dict[Partition, list[bytes]]


class Killed(BaseException):
    """`kill -9`: nothing in the program may catch it."""


def make_log(seed: int, streams: int = 290, steps: int = 40, partitions: int = 2) -> Log:
    """Streams with spikes, some that fall silent or appear late, late and repeated samples, and broken records."""
    rng = np.random.default_rng(seed)
    log: Log = {}
    for partition in range(partitions):
        count = streams if partition == 0 else 6
        first, last = rng.integers(0, 8, count), steps - rng.choice([0, 0, 0, 18], count)
        records = []
        for step in range(steps):
            for stream in rng.permutation(np.flatnonzero((first <= step) & (step < last))).tolist():
                at = START + 60 * step + int(rng.choice([0, 0, 0, 0, 0, -60, -200]))
                value = 1e4 if step > 20 and rng.random() < 0.01 else float(rng.normal())
                name = f"p{partition}-s{stream}"
                records.append(json.dumps({"name": name, "timestamp": at, "value": value}).encode())
            if rng.random() < 0.3:
                records.append(b"{broken")
        log["metrics", partition] = records
    return log


@dataclass
class World:
    """Everything that survives the death of a process."""

    log: Log
    committed: dict[Partition, int] = field(default_factory=dict)
    durable: dict[Partition, dict[str, bytes]] = field(default_factory=dict)
    delivered: list[Message] = field(default_factory=list)
    written: dict[Partition, int] = field(default_factory=dict)
    """How far processes have read."""
    lives: int = 0


class Sink(ListSink):
    """Delivers into the world; at a kill, unacknowledged messages may or may not arrive."""

    def __init__(self, world: World, tick: Callable[[], None]) -> None:
        super().__init__()
        self.world = world
        self.tick = tick

    def send(self, message: Message) -> None:
        self.tick()
        super().send(message)

    def flush(self, timeout_seconds: float) -> None:
        self.tick()
        super().flush(timeout_seconds)
        self.world.delivered += self.sent
        self.sent = []
        self.tick()


class Life:
    """One process: a worker over the world. `tick` is called around every step with an external effect."""

    def __init__(
        self,
        world: World,
        *,
        store: StateStore | None = None,
        tick: Callable[[], None] = lambda: None,
        rng: np.random.Generator | None = None,
        interval_seconds: float = 1e9,
        forecaster: Forecaster | None = None,
        source: LogSource | None = None,
        clock: ManualClock | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        world.lives += 1
        rng = rng or np.random.default_rng(0)
        self.world = world
        self.store = store or MemoryStore(world.durable, lambda: bool(rng.random() < 0.5))
        self.source = source or LogSource(world.log, world.committed, lambda: int(rng.integers(1, 400)), world.written)
        self.sink, self.clock = Sink(world, tick), clock or ManualClock()
        self.pipeline = Pipeline(
            forecaster or LastValueForecaster(),
            Scorer(ScorerSettings(warmup_samples=12)),
            Lifecycle(
                anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0
            ),
            max_streams=400,
            idle_expiry_seconds=EXPIRY_SECONDS,
            max_future_seconds=1e9,
            critical_score=2.0,
            model="last-value",
        )
        self._joined = False
        self.log = io.StringIO()
        log = log_to(self.log)
        self.metrics = AuditedMetrics(new_registry())
        outlets = [Outlet("list", self.sink, AlertRecord({}, "test"))]
        self.webhook = WebhookSink(webhook, lambda: None, first_retry_seconds=0.02) if webhook else None
        if self.webhook:
            outlets.append(Outlet("webhook", self.webhook, AlertRecord({}, "test")))
        self.snapshots = Snapshots(self.store, self.pipeline.table, FINGERPRINT, "refuse", log)
        self.worker = Worker(
            source=self.source,
            decoder=DECODERS["json"](Config().decoder),
            pipeline=self.pipeline,
            alerts=outlets,
            rejects=Outlet("dead_letter", Sink(World({}), tick), DeadLetterRecord(64)),
            telemetry=Telemetry(
                self.metrics, Health(60, self.clock.monotonic), Notifier({}, self.clock.monotonic), log
            ),
            clock=self.clock,
            checkpoint_interval_seconds=interval_seconds,
            flush_timeout_seconds=120.0,
            snapshots=self.snapshots,
        )

    def turns(self, count: int) -> None:
        """Make this many turns; the first one ever only gets the assignment."""
        for _ in range(count if self._joined else count + 1):
            self.worker.turn()
            self.clock.advance(1.0)
        self._joined = True

    def checkpoint(self) -> None:
        self.worker.checkpoints.finish(self.worker.positions)

    def die(self, rng: np.random.Generator) -> None:
        """Kill the process: messages in flight arrive in part."""
        if self.webhook:
            self.webhook.close(0.0)
        if isinstance(self.store, MemoryStore):
            self.store.crash()
        self.world.delivered += [message for message in self.sink.sent if rng.random() < 0.5]

    def state(self) -> dict[Partition, list[bytes]]:
        """Every block as bytes, with the position in the log and in event time."""
        table, found = self.pipeline.table, {}
        for partition, offset in sorted(self.worker.positions.items()):
            table.cancel_cut(partition, range(table.blocks_of(partition)))
            blocks = [table.take(partition, number) for number in table.cut(partition)]
            blobs = [encode_block(block, table.fields, partition, offset, FINGERPRINT) for block in blocks]
            found[partition] = [str((offset, table.event_time(partition))).encode(), *blobs]
        return found


def alerts(messages: list[Message]) -> dict[bytes, set[bytes]]:
    """CloudEvents id -> the distinct values delivered with it."""
    found: dict[bytes, set[bytes]] = {}
    for message in messages:
        found.setdefault(dict(message.headers)["ce_id"], set()).add(message.value or b"")
    return found


def oracle(
    log: Log, forecaster: Forecaster | None = None
) -> tuple[dict[Partition, list[bytes]], dict[bytes, set[bytes]]]:
    """State and alerts of an undisturbed process."""
    life = Life(World(log), forecaster=forecaster)
    life.worker.run()
    return life.state(), alerts(life.world.delivered)
