"""What each group has committed, and how long it made no progress."""

from __future__ import annotations

import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.kafka.endpoint import Endpoint
from tests.soak.daemons import Group
from tests.soak.load import PARTITIONS, Load

WATCH_SECONDS = 1.0
ANSWER_SECONDS = 10.0


class Progress:
    """Watches the commits of each group on a thread of its own, because brokers may answer slowly."""

    def __init__(self, kafka: Endpoint, groups: list[Group], topic: str, load: Load) -> None:
        self.committed = {group.name: [0] * PARTITIONS for group in groups}
        self.longest = {group.name: 0.0 for group in groups}
        self._moved_at = {group.name: [time.monotonic()] * PARTITIONS for group in groups}
        self._groups, self._topic, self._load = groups, topic, load
        # None of them subscribes, so none becomes a member.
        self._consumers = {group.name: Consumer({**kafka.options, "group.id": group.name}) for group in groups}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._enough.set()
        self._thread.join(30)
        for consumer in self._consumers.values():
            consumer.close()

    @property
    def behind(self) -> int:
        """Records written but not committed by the slowest group."""
        return max(
            sum(end - done for end, done in zip(self._load.ends, committed, strict=True))
            for committed in self.committed.values()
        )

    def _watch(self) -> None:
        while not self._enough.wait(WATCH_SECONDS):
            for group in self._groups:
                try:
                    found = self._ask(group.name)
                except KafkaException:
                    continue
                self._note(group.name, found, time.monotonic())

    def _ask(self, group: str) -> dict[int, int]:
        places = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        found = self._consumers[group].committed(places, timeout=ANSWER_SECONDS)
        return {place.partition: place.offset for place in found if place.error is None and place.offset >= 0}

    def _note(self, group: str, found: dict[int, int], now: float) -> None:
        committed, moved_at = self.committed[group], self._moved_at[group]
        for number, offset in found.items():
            if offset != committed[number] or offset == self._load.ends[number]:
                moved_at[number] = now
            committed[number] = offset
        self.longest[group] = max(self.longest[group], *(now - moment for moment in moved_at))
