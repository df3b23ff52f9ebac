"""The worker keeps a board up to date: at every moment, exactly the open alerts of the assigned partitions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence

import numpy as np
import pytest

from detector.alerts import AlertRecord
from detector.protocols import AssignmentChanges
from detector.records import Alert, AlertStatus, Partition
from tests.pipeline.test_notifications import BACKUP, batch_of, pipeline_of
from tests.recovery.rig import Killed, Life, World, make_log
from tests.recovery.test_kills import ticker

RECORD = AlertRecord({}, "test").value


class Board:
    """Records what is open."""

    def __init__(self) -> None:
        self.open: dict[tuple[Partition, str], str] = {}
        """(partition, stream) -> the labels of its alert."""
        self.restored = 0
        self.ended: list[str] = []

    def update(self, alerts: Sequence[Alert], *, restored: bool = False) -> None:
        for alert in alerts:
            place, labels = self.place(alert), json.dumps(RECORD(alert)["labels"], sort_keys=True)
            if alert.status == AlertStatus.FIRING:
                assert place not in self.open, "a stream has one alert"
                self.open[place] = labels
                self.restored += restored
            else:
                assert self.open.pop(place) == labels, "an alert ends with the labels that it began with"
                self.ended.append(alert.id)

    @staticmethod
    def place(alert: Alert) -> tuple[Partition, str]:
        return (alert.topic, alert.partition), alert.series.fingerprint

    def forget(self, partitions: Collection[Partition]) -> None:
        self.open = {place: labels for place, labels in self.open.items() if place[0] not in partitions}

    def waiting(self) -> int:
        return 0

    def close(self, timeout_seconds: float) -> None: ...


def watched(life: Life) -> Board:
    """A board attached to the worker of this life."""
    board = Board()
    life.worker.outlets.boards = {"board": board}
    return board


def truly_open(life: Life) -> set[tuple[Partition, str]]:
    notifications = life.pipeline.notifications
    return {Board.place(alert) for partition in life.worker.positions for alert in notifications.open(partition)}


@pytest.mark.parametrize("seed", range(3))
def test_g19_board_has_exactly_the_open_alerts_through_kills(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = World(make_log(seed))
    restored = most = 0
    for _ in range(25):
        life = Life(world, tick=ticker(int(rng.integers(20, 400))), rng=rng, interval_seconds=3.0)
        board = watched(life)
        with contextlib.suppress(Killed):
            for _ in range(int(rng.integers(1, 14))):
                life.turns(1)
                assert set(board.open) == truly_open(life)
        life.die(rng)
        restored, most = restored + board.restored, max(most, len(board.open))
    assert restored > 3, "alerts are open where a process begins"
    assert most > 1


def test_g19_revoked_partition_takes_its_alerts_along_and_resolves_none() -> None:
    life = Life(World(make_log(1)))
    board = watched(life)
    while not {partition for partition, _ in board.open} >= {("metrics", 0)}:
        life.turns(1)
    gone, ended = ("metrics", 0), list(board.ended)
    for changes in (AssignmentChanges(revoked=frozenset({gone})), AssignmentChanges(lost=frozenset({("metrics", 1)}))):
        life.source.pending_changes = [changes]
        life.source.pause(changes.gone)
        life.turns(1)
        assert set(board.open) == truly_open(life)
    assert board.open == {}
    assert board.ended == ended


def test_g19_board_gets_an_alert_that_the_topic_does_not_accept() -> None:
    life = Life(World(make_log(1)))
    board, life.sink.tick = watched(life), ticker(1)
    with pytest.raises(Killed):
        life.worker.run()
    assert life.sink.sent == []
    assert board.open or board.ended


def test_g19_muted_alerts_are_not_on_the_board() -> None:
    pipeline = pipeline_of(BACKUP)
    for host, scores in (("db-1", [0.0, 3.0, 3.0]), ("web-1", [0.0, 3.0, 3.0]), ("web-2", [0.0, 0.0, 0.0])):
        pipeline.process(batch_of(pipeline, scores, 0, host))
    still_open = list(pipeline.notifications.open(("t", 0)))
    assert [dict(alert.series.labels)["host"] for alert in still_open] == ["web-1"]
    assert [alert.status for alert in still_open] == [AlertStatus.FIRING]
    (began,) = pipeline.process(batch_of(pipeline, [3.0, 0.0, 0.0], 3, "web-1")).alerts
    assert (began.id, RECORD(began)["labels"]) == (still_open[0].id, RECORD(still_open[0])["labels"])
