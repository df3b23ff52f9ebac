"""Portions of a batch: every record once and in order, an equal share of each partition, none that takes long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detector.records import RawBatch
from detector.testing import ManualClock
from detector.worker.portions import FIRST_RECORDS, MOST_BYTES, PORTION_SECONDS, Portions


def batch_of(partition: int, count: int) -> RawBatch:
    values: list[bytes | None] = [b"%d" % n for n in range(count)]
    return RawBatch("t", partition, np.arange(count), np.full(count, np.nan), values, [None] * count)


def cut(
    clock: ManualClock, batches: list[RawBatch], seconds: float = 0.0, each_seconds: float = 0.0
) -> list[dict[int, list[int]]]:
    """Offsets of each portion by partition, if a record takes this many seconds, and a portion `each_seconds` more."""
    found = []
    for portion in Portions(clock).of(batches):
        found.append({part.partition: part.offsets.tolist() for part in portion})
        clock.advance(each_seconds + seconds * sum(map(len, portion)))
    return found


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.2, 3.0])
def test_every_record_is_processed_once_in_partition_order(seconds: float) -> None:
    lengths = {0: 400, 1: 3, 2: 0, 3: 77}
    found = cut(ManualClock(), [batch_of(number, length) for number, length in lengths.items()], seconds)
    for number, length in lengths.items():
        assert [offset for portion in found for offset in portion.get(number, [])] == list(range(length))
    assert all(parts for portion in found for parts in portion.values())


def test_portion_takes_partitions_evenly() -> None:
    first = cut(ManualClock(), [batch_of(number, 1_000) for number in range(4)])[0]
    assert {number: len(offsets) for number, offsets in first.items()} == dict.fromkeys(range(4), FIRST_RECORDS // 4)


def test_small_batch_is_one_portion() -> None:
    assert len(cut(ManualClock(), [batch_of(number, 3) for number in range(32)])) == 1


@pytest.mark.parametrize("partitions", [1, 8, 200])
def test_g12_portion_of_many_partitions_takes_no_longer_than_of_one(partitions: int) -> None:
    seconds = 0.02
    found = cut(ManualClock(), [batch_of(number, 4_000 // partitions) for number in range(partitions)], seconds)
    spent = [seconds * sum(map(len, portion.values())) for portion in found]
    assert max(spent[1:]) <= PORTION_SECONDS
    assert np.median(spent) > PORTION_SECONDS / 4


def test_worker_with_a_small_share_of_a_core_spends_it_on_records_not_on_portions() -> None:
    found = cut(ManualClock(), [batch_of(0, 20_000)], seconds=1e-4, each_seconds=0.4)
    spent = [0.4 + 1e-4 * sum(map(len, portion.values())) for portion in found]
    assert max(spent) <= PORTION_SECONDS
    assert len(found) < 20


@pytest.mark.parametrize("partitions", [1, 3, 60])
def test_g12_portion_of_large_records_is_small_even_after_small_ones(partitions: int) -> None:
    clock, large = ManualClock(), MOST_BYTES // 5
    portions = Portions(clock)
    for _ in range(20):
        for _ in portions.of([batch_of(0, 20_000)]):
            pass
    heavy = [replace(batch_of(number, 40), values=[b"x" * large] * 39 + [None]) for number in range(partitions)]
    sizes, seen = [], dict.fromkeys(range(partitions), 0)
    for portion in portions.of(heavy):
        sizes.append(sum(len(value or b"") for part in portion for value in part.values))
        for part in portion:
            assert part.offsets[0] == seen[part.partition]
            seen[part.partition] += len(part)
    assert max(sizes) <= MOST_BYTES + large
    assert set(seen.values()) == {40}


def test_a_little_too_much_is_divided_evenly() -> None:
    portions, record = Portions(ManualClock()), b"x" * (MOST_BYTES // 7_900)
    full = [replace(batch_of(number, 2_000), values=[record] * 2_000) for number in range(4)]
    for _ in range(10):
        found = [[len(part) for part in portion] for portion in portions.of(full)]
    assert found == [[1_000] * 4] * 2


def test_g12_portion_of_mixed_records_is_small_though_the_large_ones_come_first() -> None:
    portions, large = Portions(ManualClock()), MOST_BYTES // 4
    for _ in range(20):
        for _ in portions.of([batch_of(0, 20_000)]):
            pass
    values: list[bytes | None] = [b"x" * large, None] * 20 + [b"x"] * 20_000
    mixed = replace(batch_of(0, len(values)), values=values)
    sizes = [sum(len(value or b"") for part in portion for value in part.values) for portion in portions.of([mixed])]
    assert sum(sizes) == 20 * large + 20_000
    assert max(sizes) <= MOST_BYTES


def test_g12_small_polls_teach_nothing_about_a_large_one() -> None:
    portions = Portions(ManualClock())
    for _ in range(30):
        for _ in portions.of([batch_of(0, 3)]):
            pass
    assert len(next(portions.of([batch_of(0, 10_000)]))[0]) == FIRST_RECORDS
