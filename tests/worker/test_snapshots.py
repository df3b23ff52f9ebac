"""What a snapshot contains besides blocks, and how snapshots are replaced and deleted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from detector.alerts.record import alert_id
from detector.config import Config
from detector.errors import StateForeign
from detector.records import AlertStatus, Partition
from detector.state.manifest import manifest_offset
from detector.state.steps import complete
from detector.streams.event_time import EventTime
from detector.streams.table import LATEST
from detector.testing import MemoryStore
from detector.worker.checkpoint import checkpoint
from detector.worker.snapshots import DELETED_A_STEP
from tests.state.stocked import LINEAGE, PARTITIONS, START, Stock, directory_config, key


def test_g1_snapshot_contains_the_votes_on_event_time(tmp_path: Path) -> None:
    before, partition = Stock(directory_config(tmp_path)), PARTITIONS[0]
    before.feed(2)
    voted = EventTime(START + 60.0, wait=7, refused=2, since=START + 9e6, young=True)
    before.pipeline.table._partition(partition).event_time = voted
    before.checkpoint()
    after = Stock(directory_config(tmp_path))
    complete(after.snapshots.restore(partition))
    assert after.pipeline.table.event_time(partition) == voted


def test_g15_sent_alert_resolves_although_the_state_is_dropped(tmp_path: Path) -> None:
    """As after a change of the model or its profile."""
    Stock(directory_config(tmp_path)).two_snapshots()
    compact = Stock(directory_config(tmp_path, model={"profile": "compact"}))
    compact.snapshots.on_foreign = "rewarm"
    with pytest.raises(StateForeign):
        complete(Stock(compact.config).snapshots.restore(PARTITIONS[0]))
    for partition in PARTITIONS:
        manifest = complete(compact.snapshots.restore(partition))
        assert manifest is not None
        compact.positions[partition] = manifest.offset
        assert compact.pipeline.table.streams_of(partition) == 1
    compact.checkpoint()
    compact.store.flush(5.0)  # what is foreign is deleted

    after = Stock(compact.config)
    for partition in PARTITIONS:
        complete(after.snapshots.restore(partition))
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


class StoreOfNames(MemoryStore):
    """Rejects a name that was used before: every name except that of weights must be new."""

    def __init__(self) -> None:
        super().__init__({})
        self.names: set[tuple[Partition, str]] = set()

    def write(self, partition: Partition, name: str, blob: bytes) -> None:
        assert (partition, name) not in self.names
        self.names.add((partition, name))
        super().write(partition, name, blob)


def needed(stock: Stock, partition: Partition) -> set[str]:
    """Names of the blobs that the kept snapshots consist of."""
    return set[str]().union(*(one.names for one in stock.snapshots._durable[partition].generations))


@pytest.mark.parametrize("steps", range(1, 6))
def test_g10_blobs_of_an_abandoned_checkpoint_are_deleted(tmp_path: Path, steps: int) -> None:
    """As at every rebalance: a partition that stays here is not restored, so nothing else would find the blobs."""
    store = StoreOfNames()
    stock = Stock(directory_config(tmp_path), store)
    stock.feed(2)
    stock.checkpoint()
    for _ in range(3):
        stock.feed(1)
        under_way = checkpoint(stock.source, stock.outlets, stock.snapshots, dict(stock.positions), 60.0)
        for _ in range(steps):
            next(under_way)
        under_way.close()
        stock.checkpoint()
    store.flush(60.0)
    for partition in PARTITIONS:
        assert set(store.durable[partition]) == needed(stock, partition)
        assert len(stock.snapshots._durable[partition].generations) == 2
    after = Stock(directory_config(tmp_path), store)
    for partition in PARTITIONS:
        complete(after.snapshots.restore(partition))
        ours, theirs = (each.pipeline.table for each in (after, stock))
        latest = [table.columns[LATEST.name][table.stream_rows(partition)] for table in (ours, theirs)]
        assert sorted(latest[0]) == sorted(latest[1]), "what was given up is in the next snapshot"


def test_g5_recreated_log_of_the_same_length_gets_a_snapshot_of_its_own(tmp_path: Path) -> None:
    """Otherwise the next worker would find the position of the old log, and report it lost once more."""
    store, anew = StoreOfNames(), replace(LINEAGE, topic_id="22222222-2222-3333-4444-555555555555")
    stock = Stock(directory_config(tmp_path), store)
    stock.feed(3)
    stock.checkpoint()
    stock.source.lineages = dict.fromkeys(PARTITIONS, anew)
    stock.positions = dict.fromkeys(PARTITIONS, 0)
    stock.feed(3)
    stock.checkpoint()
    store.flush(60.0)
    after = Stock(directory_config(tmp_path), store)
    for partition in PARTITIONS:
        manifest = complete(after.snapshots.restore(partition))
        assert manifest is not None
        assert (manifest.offset, manifest.lineage) == (3, anew)
        assert [manifest_offset(name) for name in store.durable[partition] if name.startswith("manifest")] == [3]


class Compared(str):
    """A blob's name that counts comparisons."""

    __slots__ = ()
    comparisons = 0

    def __lt__(self, other: str) -> bool:
        Compared.comparisons += 1
        return str.__lt__(self, other)


def test_cost_of_a_deletion_does_not_grow_with_the_blobs_due(tmp_path: Path) -> None:
    """As after a checkpoint of a partition in which every stream changed."""
    stock, partition = Stock(directory_config(tmp_path), MemoryStore({})), PARTITIONS[0]
    complete(stock.snapshots.restore(partition))

    def cost(blobs: int) -> float:
        stock.snapshots._durable[partition].garbage = {Compared(f"{number:05d}") for number in range(blobs)}
        Compared.comparisons = 0
        assert sum(1 for _ in stock.snapshots.clean([partition])) == blobs // DELETED_A_STEP
        assert not stock.snapshots._durable[partition].garbage
        return Compared.comparisons / blobs

    assert cost(8_000) < 3 * cost(80)


def test_checkpoint_writes_partitions_in_steps() -> None:
    """After a number of writes, a store makes the worker wait."""
    store = MemoryStore({})
    stock = Stock(Config(), store)
    stock.feed(2)
    written = [0]
    for _ in checkpoint(stock.source, stock.outlets, stock.snapshots, dict(stock.positions), 60.0, wait=False):
        written.append(sum(manifest_offset(name) is not None for _, name, blob in store.pending if blob is not None))
    assert written[-1] == len(PARTITIONS)
    assert max(after - before for before, after in pairwise(written)) == 1
