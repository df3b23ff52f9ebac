"""What a snapshot knows of a partition besides its blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.alerts.record import alert_id
from detector.errors import StateForeign
from detector.records import AlertStatus
from detector.streams.event_time import EventTime
from tests.state.stocked import PARTITIONS, START, Stock, directory_config, key


def test_g1_a_snapshot_knows_how_streams_voted_on_event_time(tmp_path: Path) -> None:
    before, partition = Stock(directory_config(tmp_path)), PARTITIONS[0]
    before.feed(2)
    voted = EventTime(START + 60.0, wait=7, refused=2, since=START + 9e6, young=True)
    before.pipeline.table._partition(partition).event_time = voted
    before.checkpoint()
    after = Stock(directory_config(tmp_path))
    after.snapshots.restore(partition)
    assert after.pipeline.table.event_time(partition) == voted


def test_g15_an_alert_that_subscribers_know_ends_although_the_state_is_forgotten(tmp_path: Path) -> None:
    """As after a change of the model or of its profile."""
    Stock(directory_config(tmp_path)).two_snapshots()
    compact = Stock(directory_config(tmp_path, model={"profile": "compact"}))
    compact.snapshots.on_foreign = "rewarm"
    with pytest.raises(StateForeign):
        Stock(compact.config).snapshots.restore(PARTITIONS[0])
    for partition in PARTITIONS:
        manifest = compact.snapshots.restore(partition)
        assert manifest is not None
        compact.positions[partition] = manifest.offset
        assert compact.pipeline.table.streams_of(partition) == 1
    compact.checkpoint()
    compact.store.flush(5.0)  # what is foreign is deleted

    after = Stock(compact.config)
    for partition in PARTITIONS:
        after.snapshots.restore(partition)
        after.positions[partition] = compact.positions[partition]
        assert after.pipeline.table.streams_of(partition) == 1
    ended = after.feed(6)
    assert {(alert.partition, alert.series, alert.status) for alert in ended} == {
        (number, key(0), AlertStatus.RESOLVED) for _, number in PARTITIONS
    }
    assert {alert.id for alert in ended} == {
        alert_id(key(0), *partition, START + 60.0 * 79) for partition in PARTITIONS
    }
    assert all(alert.value > 900.0 for alert in ended)
    assert after.pipeline.table.streams_of(PARTITIONS[0]) == 300
