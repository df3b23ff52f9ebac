"""The novelty memory compared with a plain reference, and the properties its docstring promises."""

from __future__ import annotations

import numpy as np
import pytest

from detector.columns import Columns, allocate
from detector.stats.few import FewNumbers
from detector.stats.novelty import APART, DELAY, ESTABLISHED, STAMPS, VISIT_SECONDS, Distance, NoveltyMemory

SIZE = 8
START = 1_700_000_000.0
KINDS = ("noise", "counts", "wander", "rare")
MINUTES = 60.0
HOURS = 3600.0


class Reference:
    """One stream, one number at a time, in plain Python."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory: list[list[float]] = []  # [number, stamp], stamp -1 = established
        self.waiting: list[tuple[float, float]] = []
        self.gap = 0.0
        self.seen = 0

    def see(self, time: float, number: float) -> tuple[float, float]:
        stamp = int(time // VISIT_SECONDS) % STAMPS
        away = [(abs(m - number), s) for m, s in self.memory]
        usual = [a for a, s in away if s == -1]
        # Of two equally near values, the smaller counts.
        nearest, first_met = min(away, key=lambda pair: pair[0]) if away else (0.0, -1)
        established = nearest if first_met == -1 or not usual else min(usual)
        is_return = first_met != -1 and stamp - first_met >= APART
        if len(self.waiting) == DELAY:
            entering, welcome = self.waiting.pop(0)
            if welcome > self.gap or self.seen < 2 * DELAY:
                self._enter(entering, stamp)
        self.waiting.append((number, np.inf if is_return else nearest))
        self.seen += 1
        return nearest, established

    def _enter(self, number: float, stamp: int) -> None:
        self.memory = sorted([*self.memory, [number, stamp]], key=lambda pair: pair[0])
        gaps = [b[0] - a[0] for a, b in zip(self.memory, self.memory[1:], strict=False)]
        if len(self.memory) > self.size or 0.0 in gaps:
            first = gaps.index(min(gaps))
            before = gaps[first - 1] if first > 0 else np.inf
            behind = gaps[first + 1] if first + 1 < len(gaps) else np.inf
            _, left = self.memory[first]
            _, right = self.memory[first + 1]
            settled = -1 in (left, right) or abs(left - right) >= APART
            keep = first if before > behind else first + 1
            self.memory[keep][1] = -1 if settled else min(left, right)
            del self.memory[first + 1 if keep == first else first]
        gaps = [b[0] - a[0] for a, b in zip(self.memory, self.memory[1:], strict=False)]
        self.gap = min(gaps) if len(self.memory) == self.size else 0.0


def _times(numbers: np.ndarray, step: float, start: float = START) -> np.ndarray:
    return np.arange(len(numbers), dtype=np.float64) * step + start


def _play(
    memory: NoveltyMemory, state: Columns, numbers: np.ndarray, step: float = 3 * MINUTES, start: float = START
) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(numbers.shape[1])
    said = []
    for time, round_numbers in zip(_times(numbers, step, start).tolist(), numbers, strict=True):
        times = np.full(len(rows), time)
        distance = memory.distance(state, rows, times, round_numbers)
        memory.update(state, rows, times, round_numbers, distance)
        said.append((distance.any, distance.established))
    any_TB, established_TB = np.array(said).transpose(1, 0, 2)
    return any_TB, established_TB


def _numbers(kind: str, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(3)
    numbers = {
        "noise": rng.standard_normal(shape),
        "counts": rng.poisson(4.0, shape).astype(float),
        "wander": rng.standard_normal(shape).cumsum(axis=0),
        "rare": np.where(rng.random(shape) < 0.02, 50.0 + rng.standard_normal(shape), rng.standard_normal(shape)),
    }[kind]
    # On a float32 grid every distance is exact, so that both computations agree bit for bit.
    return np.asarray(np.round(numbers * 1024.0) / 1024.0)


@pytest.mark.parametrize("size", [SIZE, 9, 20, 64])
@pytest.mark.parametrize("step", [3 * MINUTES, HOURS])
@pytest.mark.parametrize("kind", KINDS)
def test_memory_equals_the_plain_reference(kind: str, step: float, size: int) -> None:
    numbers = _numbers(kind, (600, 6))
    memory = NoveltyMemory("n", size)
    any_TB, established_TB = _play(memory, allocate(memory.fields, 6), numbers, step)
    for row in range(6):
        reference = Reference(size)
        samples = zip(_times(numbers, step).tolist(), numbers[:, row].tolist(), strict=True)
        expected = np.array([reference.see(time, number) for time, number in samples])
        np.testing.assert_array_equal(any_TB[:, row], expected[:, 0])
        np.testing.assert_array_equal(established_TB[:, row], expected[:, 1])


def test_old_and_young_memories_side_by_side_equal_the_plain_reference() -> None:
    numbers, memory, begins = _numbers("noise", (100, 3)), NoveltyMemory("n"), (0, 60, 85)
    state = allocate(memory.fields, 3)
    said: dict[int, list[tuple[float, float]]] = {row: [] for row in range(3)}
    for number, (time, round_numbers) in enumerate(zip(_times(numbers, HOURS).tolist(), numbers, strict=True)):
        rows = np.array([row for row in range(3) if number >= begins[row]])
        times = np.full(len(rows), time)
        distance = memory.distance(state, rows, times, round_numbers[rows])
        memory.update(state, rows, times, round_numbers[rows], distance)
        for row, any_, established in zip(rows.tolist(), distance.any, distance.established, strict=True):
            said[row].append((any_, established))
    for row, begin in enumerate(begins):
        reference, times_T = Reference(64), _times(numbers, HOURS)
        expected = [reference.see(*pair) for pair in zip(times_T[begin:], numbers[begin:, row], strict=True)]
        assert said[row] == expected


@pytest.mark.parametrize("make", [NoveltyMemory, FewNumbers])
def test_the_largest_count_of_numbers_seen_changes_nothing(make: type[NoveltyMemory]) -> None:
    numbers, memory = np.arange(300.0)[:, None], make("n", SIZE)
    state = allocate(memory.fields, 1)
    _play(memory, state, numbers[:200])
    far = {name: column.copy() for name, column in state.items()}
    far["n_seen"] += (np.iinfo(np.int32).max - 250) // DELAY * DELAY
    rest = [_play(memory, one, numbers[200:], start=START + 200 * 3 * MINUTES) for one in (state, far)]
    np.testing.assert_array_equal(rest[0], rest[1])
    assert far["n_seen"].min() > SIZE + DELAY


@pytest.mark.parametrize("size", [2, SIZE, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_small_memory_agrees_with_the_reference(kind: str, size: int) -> None:
    numbers, states = _numbers(kind, (600, 60)), []
    for memory in (NoveltyMemory("n", size), FewNumbers("n", size)):
        states.append(allocate(memory.fields, 60))
        _play(memory, states[-1], numbers, HOURS)
    for name, column in states[0].items():
        assert column.tobytes() == states[1][name].tobytes(), name
    assert (states[0]["n_stamps"] == ESTABLISHED).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [NoveltyMemory, FewNumbers])
def test_wrap_around_of_stored_times_changes_nothing(make: type[NoveltyMemory], kind: str) -> None:
    numbers, memory = _numbers(kind, (600, 60)), make("n", SIZE)
    around = STAMPS * VISIT_SECONDS * 10
    found = [
        _play(memory, allocate(memory.fields, 60), numbers, HOURS / 2, around + units * VISIT_SECONDS)
        for units in (1, -20, -40)
    ]
    for shifted in found[1:]:
        np.testing.assert_array_equal(shifted, found[0])


def test_extremes_are_kept() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((2000, 1))
    memory = NoveltyMemory("n", SIZE)
    state = allocate(memory.fields, 1)
    _play(memory, state, numbers)
    kept = state["n_memory"][0]
    seen = numbers[:-DELAY].astype(np.float32)
    # An extreme closer to its neighbour than the smallest gap is represented by that neighbour.
    assert kept.min() <= seen.min() + state["n_gap"][0]
    assert kept.max() >= seen.max() - state["n_gap"][0]


def test_spike_does_not_make_its_next_samples_usual() -> None:
    memory = NoveltyMemory("n")
    state = allocate(memory.fields, 1)
    any_TB, _ = _play(memory, state, np.concatenate([np.zeros((50, 1)), np.full((8, 1), 9.0)]))
    assert (any_TB[50 : 50 + DELAY] == 9.0).all()
    assert (any_TB[50 + DELAY + 1 :] == 0.0).all()


def test_recurrence_is_far_from_established_values() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.standard_normal((1500, 1))
    numbers[700:703] = 20.0
    numbers[1200] = 20.0
    memory = NoveltyMemory("n")
    any_TB, established_TB = _play(memory, allocate(memory.fields, 1), numbers)
    assert any_TB[1200, 0] == 0.0
    assert established_TB[1200, 0] > 15.0
    assert (established_TB >= any_TB).all()


@pytest.mark.parametrize("step", [1.0, MINUTES, HOURS])
def test_values_are_established_by_event_time(step: float) -> None:
    rng = np.random.default_rng(1)
    memory = NoveltyMemory("n")
    state, rows, now = allocate(memory.fields, 1), np.zeros(1, dtype=np.int64), START

    def see(numbers: list[float], every: float) -> Distance:
        nonlocal now
        for number in numbers:
            now += every
            distance = memory.distance(state, rows, np.array([now]), np.array([number]))
            memory.update(state, rows, np.array([now]), np.array([number]), distance)
        return distance

    see(rng.standard_normal(500).tolist(), max(step, 5 * MINUTES))
    see([20.0] * max(int(10 * MINUTES / step), 3), step)
    see(rng.standard_normal(max(int(HOURS / step), 2 * DELAY)).tolist(), min(step, 10 * MINUTES))
    again = see([20.0], step)
    assert (again.any[0], again.is_return[0]) == (0.0, False)
    assert again.established[0] > 15.0
    see(rng.standard_normal(2 * DELAY).tolist(), 3 * HOURS)
    much_later = see([20.0], step)
    assert (much_later.any[0], much_later.is_return[0]) == (0.0, True)
    assert much_later.established[0] > 15.0
    see(rng.standard_normal(2 * DELAY).tolist(), step)
    assert see([20.0], step).established[0] == 0.0


def test_distance_changes_nothing_and_handles_an_empty_memory() -> None:
    memory = NoveltyMemory("n")
    state = allocate(memory.fields, 4)
    before = {name: column.copy() for name, column in state.items()}
    distance = memory.distance(state, np.arange(4), np.zeros(4), np.array([1.0, -1e30, 1e30, 0.0]))
    assert isinstance(distance, Distance)
    assert (distance.any == 0.0).all()
    assert (distance.established == 0.0).all()
    for name, column in state.items():
        np.testing.assert_array_equal(column, before[name])
