"""The lane of a series depends only on its labels: evenly spread, and members of a group together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from detector.decoders.routed import RoutedDecoder
from detector.records import Int64, SampleBatch
from detector.routing.lanes import RECORD_BYTES, SERIES_CHARACTERS, Lanes, lane_of
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import raw

KEYS = [SeriesKey.of(name, {"host": f"h{host}"}) for host in range(1_000) for name in ("cpu", "memory", "load")]


def batch(lanes: Lanes, keys: list[SeriesKey]) -> SampleBatch:
    count = len(keys)
    handles = [lanes.series.intern(key) for key in keys]
    return SampleBatch(
        "",
        -1,
        series=np.array(handles, dtype=np.int64),
        times=np.arange(1.7e9, 1.7e9 + count),
        values=np.arange(0.0, count),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(count),
        record_times=np.full(count, np.nan),
    )


def test_lanes_are_filled_evenly() -> None:
    counts = Counter(lane_of(key, 8) for key in KEYS)
    assert len(counts) == 8
    assert min(counts.values()) > 0.8 * len(KEYS) / 8


def test_members_of_a_group_share_a_lane() -> None:
    lanes_of_host: dict[str, set[int]] = {}
    for key in KEYS:
        lanes_of_host.setdefault(dict(key.labels)["host"], set()).add(lane_of(key, 8, ["host"]))
    assert all(len(found) == 1 for found in lanes_of_host.values())
    assert len(set.union(*lanes_of_host.values())) == 8
    assert [lane_of(key, 8, ["rack"]) for key in KEYS] == [lane_of(key, 8) for key in KEYS]


@pytest.mark.parametrize("size", [1, 1_000])
def test_records_hold_every_sample_once_in_order_and_are_bounded(size: int) -> None:
    lanes = Lanes(4, 10_000)
    keys = [SeriesKey.of("cpu", {"host": f"{'h' * size}{host % 300}"}) for host in range(3_000)]
    messages = list(lanes.records(batch(lanes, keys)))
    assert all(len(message.value or b"") < RECORD_BYTES + 100_000 for message in messages)
    assert size == 1 or len(messages) > 4
    found: dict[SeriesKey, list[float]] = {}
    for message in messages:
        series = SeriesIndex()
        samples = RoutedDecoder().decode(raw(message.value), series)
        for handle, value in zip(samples.series.tolist(), samples.values.tolist(), strict=True):
            assert lane_of(series.key(handle), 4) == message.partition
            found.setdefault(series.key(handle), []).append(value)
    assert found == {key: [float(at) for at in range(len(keys)) if keys[at] == key] for key in set(keys)}


@pytest.mark.parametrize("size", [1, 16_000])
def test_g10_router_forgets_a_flood_of_names_whatever_their_length(size: int) -> None:
    lanes, most = Lanes(4, 100), 100 * SERIES_CHARACTERS
    kept = SeriesKey.of("kept", {"host": "a"})
    for step in range(50):
        keys = [kept, *(SeriesKey.of("flood", {"host": f"{'h' * size}{step}-{number}"}) for number in range(10))]
        samples = batch(lanes, keys)
        assert sum(len(message.value or b"") for message in lanes.records(samples)) > 10 * size
        lanes.trim(lambda: np.empty(0, dtype=np.int64))
        assert len(lanes.series) <= 100
        assert lanes.series.characters <= most
        assert sum(map(len, lanes._packed)) <= 2 * most


def test_waiting_samples_are_scanned_only_when_series_are_to_be_forgotten() -> None:
    """Hundreds of thousands may wait for another partition, and the router trims at every turn."""
    lanes, looks = Lanes(4, 10), 0

    def in_flight() -> Int64:
        nonlocal looks
        looks += 1
        return np.empty(0, dtype=np.int64)

    for step in range(3):
        list(lanes.records(batch(lanes, [SeriesKey.of("cpu", {"host": f"{step}-{number}"}) for number in range(5)])))
        lanes.trim(in_flight)
        assert looks == (step == 2)
