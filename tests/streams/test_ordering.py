import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.records import Outcome, SampleBatch
from detector.streams import rounds, screen


@given(st.lists(st.integers(0, 8), max_size=60))
def test_rounds_have_distinct_rows_in_order_of_arrival(rows: list[int]) -> None:
    split = [picks.tolist() for picks in rounds(np.array(rows, dtype=np.int64))]
    assert sorted(np.concatenate([*split, []]).tolist()) == list(range(len(rows)))
    nth_seen: dict[int, list[int]] = {}
    for picks in split:
        assert len({rows[i] for i in picks}) == len(picks)
        for i in picks:
            nth_seen.setdefault(rows[i], []).append(i)
    assert all(arrivals == sorted(arrivals) for arrivals in nth_seen.values())
    assert [len(picks) for picks in split] == sorted((len(picks) for picks in split), reverse=True)


def batch_of(times: list[float], values: list[float], record_time: float = 1000.0) -> SampleBatch:
    count = len(times)
    return SampleBatch(
        topic="t",
        partition=0,
        series=np.zeros(count, dtype=np.int64),
        times=np.array(times),
        values=np.array(values),
        kinds=np.zeros(count, dtype=np.uint8),
        outcomes=np.zeros(count, dtype=np.uint8),
        offsets=np.arange(count),
        record_times=np.full(count, record_time),
    )


@pytest.mark.parametrize(
    ("time", "value", "outcome"),
    [
        (1000.0, 1.0, Outcome.SCORED),
        (1059.0, 1.0, Outcome.SCORED),
        (1061.0, 1.0, Outcome.BAD_TIMESTAMP),
        (-1.0, 1.0, Outcome.BAD_TIMESTAMP),
        (1e12, 1.0, Outcome.BAD_TIMESTAMP),
        (float("nan"), 1.0, Outcome.BAD_TIMESTAMP),
        (1000.0, float("nan"), Outcome.NOT_FINITE),
        (1000.0, float("-inf"), Outcome.NOT_FINITE),
        (1000.0, -1.1e30, Outcome.OUT_OF_RANGE),
        (1000.0, 1e30, Outcome.SCORED),
    ],
)
def test_screen_passes_only_numbers_in_range(time: float, value: float, outcome: Outcome) -> None:
    assert screen(batch_of([time], [value]), max_future_seconds=60.0).tolist() == [outcome]


def test_screen_ignores_future_times_without_record_times() -> None:
    assert screen(batch_of([5e9], [1.0], record_time=float("nan")), 60.0).tolist() == [Outcome.SCORED]


def test_screen_keeps_outcomes_of_the_decoder() -> None:
    batch = batch_of([1000.0], [float("nan")])
    batch.outcomes[0] = Outcome.GAP
    assert screen(batch, 60.0).tolist() == [Outcome.GAP]
