"""What a snapshot knows of a partition besides its blocks."""

from __future__ import annotations

from pathlib import Path

from detector.streams.event_time import EventTime
from tests.state.stocked import PARTITIONS, START, Stock, directory_config


def test_g1_a_snapshot_knows_how_streams_voted_on_event_time(tmp_path: Path) -> None:
    before, partition = Stock(directory_config(tmp_path)), PARTITIONS[0]
    before.feed(2)
    voted = EventTime(START + 60.0, wait=7, refused=2, since=START + 9e6, young=True)
    before.pipeline.table._partition(partition).event_time = voted
    before.checkpoint()
    after = Stock(directory_config(tmp_path))
    after.snapshots.restore(partition)
    assert after.pipeline.table.event_time(partition) == voted
