"""The parts of a run: brokers, network, supervised daemons, load and watchers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from detector.config import Config
from tests.kafka.archive import java_options
from tests.kafka.cluster import Cluster
from tests.sinks.hook import Hook
from tests.soak.daemons import Group, Slot
from tests.soak.load import EXPIRY_SECONDS, PARTITIONS, Load
from tests.soak.machine import Machine, build_shim
from tests.soak.network import Network
from tests.soak.progress import Progress

BROKERS = 3
SLOTS = {"kafka": 4, "directory": 2}
"""Store -> places for daemons of its group."""
USUAL = {"kafka": 3, "directory": 2}
STATIC = {"kafka-1", "kafka-2", "directory-1"}
"""Slots with a `group_instance_id`; the others are new members each time."""


class Rig:
    """Two consumer groups over one input, one for each kind of store. No daemon runs yet."""

    def __init__(
        self, folder: Path, data: Path, seed: int, rate: float, checkpoint_seconds: float, stack: ExitStack
    ) -> None:
        """Start everything; it ends with the stack. Brokers keep their topics in `data`."""
        self.folder = folder
        self._checkpoint_seconds = checkpoint_seconds
        properties = {
            "log.segment.bytes": 33_554_432,
            "log.cleaner.backoff.ms": 5_000,
            "log.cleaner.min.compaction.lag.ms": 0,
        }
        self.cluster = stack.enter_context(
            Cluster(
                self.folder / "kafka",
                data=data,
                brokers=BROKERS,
                properties=properties,
                java_options=java_options(),
                links=sum(SLOTS.values()),
            )
        )
        self.network = stack.enter_context(Network(self.cluster.links))
        self.kafka = self.cluster.endpoint
        self.topic = self.kafka.create_topic("metrics", partitions=PARTITIONS, replication=BROKERS)
        self._library = build_shim(self.folder)
        self.slots: list[Slot] = []
        self.groups = [self._group(store, stack.enter_context(Hook())) for store in SLOTS]
        for slot in self.slots:
            stack.callback(slot.close)
        self.load = Load(self.kafka, self.topic, seed, rate)
        self.progress = Progress(self.kafka, self.groups, self.topic, self.load)
        self.progress.start()
        stack.callback(self.progress.close)

    def _group(self, store: str, hook: Hook) -> Group:
        create = self.kafka.create_topic
        alerts = create(f"alerts-{store}", partitions=2, replication=BROKERS)
        dead_letters = create(f"dead-letters-{store}", replication=BROKERS)
        # Compaction is quick, so that a restore does not read everything that was ever written.
        state = create(
            f"state-{store}", partitions=PARTITIONS, replication=BROKERS, cleanup_policy="compact", segment_ms=20_000,
            delete_retention_ms=60_000, min_cleanable_dirty_ratio="0.2",
        )  # fmt: skip
        settings = {
            "source": {
                "kafka": {
                    "topics": [self.topic],
                    "group_id": store,
                    "start": "earliest",
                    "session_timeout_seconds": 6.0,
                }
            },
            "sinks": {
                "kafka": {"topic": alerts, "delivery_timeout_seconds": 20.0},
                "webhook": {
                    "enabled": True,
                    "url": hook.url,
                    "timeout_seconds": 3.0,
                    "delivery_timeout_seconds": 12.0,
                },
            },
            "dead_letter": {"topic": dead_letters},
            "streams": {"idle_expiry_seconds": EXPIRY_SECONDS},
            "state": {
                "type": store,
                "directory": {"path": str(self.folder / "state")},
                "kafka": {"topic": state},
                "flush_timeout_seconds": 20.0,
            },
            "checkpoint": {"interval_seconds": self._checkpoint_seconds},
        }
        slots = [self._slot(f"{store}-{number + 1}", settings) for number in range(SLOTS[store])]
        return Group(store, store, slots, USUAL[store], settings, alerts, dead_letters, hook)

    def _slot(self, name: str, settings: dict[str, Any]) -> Slot:
        folder, link = self.folder / name, len(self.slots)
        folder.mkdir()
        kafka = {"bootstrap_servers": self.network.bootstrap(link), "request_timeout_seconds": 10.0, "client_id": name}
        own = {**settings["source"]["kafka"], **({"group_instance_id": name} if name in STATIC else {})}
        slot = Slot(
            name, folder, {**settings, "kafka": kafka, "source": {"kafka": own}},
            Machine(self._library, folder / "control"), link,
        )  # fmt: skip
        slot.wanted = False
        self.slots.append(slot)
        return slot

    def config(self, group: Group) -> Config:
        """The configuration of the group's daemons, but straight to the brokers."""
        brokers = {"bootstrap_servers": self.kafka.bootstrap.split(",")}
        return Config.model_validate({**group.settings, "kafka": brokers})
