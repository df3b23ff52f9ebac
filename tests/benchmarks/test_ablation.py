"""The ablation: the same forecasts, one part removed, paired differences."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from benchmarks.detection import ablation, server
from benchmarks.detection.ablation import Ablation, Benchmarks, Recorder, Recording
from benchmarks.detection.components import Persistence, Trace, play_collection
from benchmarks.detection.estimate import Estimate, estimate, mean_of
from benchmarks.detection.machine_files import Machine
from benchmarks.detection.machines import group_scores, play_groups
from benchmarks.detection.parts import FORECASTERS, VARIANTS, WHOLE
from detector.backtest import nab
from detector.backtest.series import Series
from detector.scoring.group import Parts

HOURS = 24 * 20


@pytest.fixture(scope="module")
def collection() -> list[Series]:
    """Hourly streams, with and without a daily habit, that show a spike twice, a flat line and a calm."""
    rng = np.random.default_rng(4)
    hours = np.arange(0.0, HOURS)
    streams = []
    for season in (0.0, 0.0, 20.0):
        values = 50.0 + rng.standard_normal(HOURS) + season * np.sin(2 * np.pi * hours / 24.0)
        values[[150, 330]] += 30.0
        values[400:420] = 50.0 + 0.01 * rng.standard_normal(20)
        values[440:450] = values[440]
        streams.append(Series("a", 3600.0 * hours, values, np.array([[150, 152], [330, 332]])))
    return streams


def scores(traces: list[Trace]) -> np.ndarray:
    return np.stack([trace.anomaly_score for trace in traces])


class Played(NamedTuple):
    """The collection as a whole scorer sees it, and the forecasts that it was given."""

    recorder: Recorder
    traces: list[Trace]


@pytest.fixture(scope="module")
def played(collection: list[Series]) -> Played:
    recorder = Recorder(Persistence())
    return Played(recorder, play_collection(collection, recorder))


def test_recorded_forecasts_score_as_the_forecaster_does(collection: list[Series], played: Played) -> None:
    again = play_collection(collection, Recording(played.recorder.rounds))
    np.testing.assert_array_equal(scores(played.traces), scores(again))
    np.testing.assert_array_equal(played.traces[0].expected, again[0].expected)


@pytest.mark.parametrize(
    "name", [name for name, variant in VARIANTS.items() if variant.scorer is not VARIANTS[WHOLE].scorer]
)
def test_removed_part_changes_the_score(name: str, collection: list[Series], played: Played) -> None:
    without = scores(play_collection(collection, Recording(played.recorder.rounds), VARIANTS[name].scorer()))
    assert np.isfinite(without).all()
    assert (without != scores(played.traces)).any()


@pytest.mark.parametrize("name", [f"group without {part}" for part in Parts._fields if part != "largest"])
def test_removed_part_of_the_group_lowers_its_score(name: str) -> None:
    rng = np.random.default_rng(1)
    one = Machine("a", 60.0 * np.arange(300.0), np.zeros((300, 4), np.float32), np.zeros(150, bool), 60.0)
    shown = rng.random((4, len(Trace.__slots__), 300))
    raised = "reach" if name == "group without reach" else "size"
    shown[:, list(Trace.__slots__).index(raised), 195:] += 20.0
    traces = [Trace(*member) for member in shown]
    whole, without = (group_scores([one], traces, VARIANTS[which].group())[0] for which in (WHOLE, name))
    assert (without <= whole).all()
    assert without[200] < whole[200]


def host(seed: int) -> Machine:
    rng = np.random.default_rng(seed)
    labels = np.zeros(150, dtype=bool)
    labels[100:110] = True
    values = rng.standard_normal((300, 3)).astype(np.float32)
    values[250:260] += 8.0
    return Machine(f"host-{seed}", np.arange(0.0, 18_000.0, 60.0), values, labels, 60.0)


def test_every_column_belongs_to_its_series(collection: list[Series]) -> None:
    hosts = [host(seed) for seed in range(9)]
    small = Benchmarks(collection[:2], collection[1:], hosts[:2], hosts[2:5], [collection[:1]] * 2, [hosts[5:7]] * 2)
    played = Ablation(small)
    name = "network -> last value"
    for variant, found in ((VARIANTS[WHOLE], played.whole), (VARIANTS[name], played.figures(VARIANTS[name]))):
        forecaster = FORECASTERS[variant.forecaster]
        for column, machines in (("SMD", hosts[:2]), ("ASD", hosts[2:5])):
            areas = server.areas(machines, play_groups(machines, forecaster()))
            assert found[column].value == pytest.approx(areas["average_precision"].mean(), abs=1e-6)
        alone = nab.evaluate(collection[:2], list(scores(play_collection(collection[:2], forecaster()))))
        assert found["NAB own"].value == pytest.approx(alone["standard_at_own_threshold"], abs=1e-6)
    group = played.figures(VARIANTS["group without novelty"])
    assert group["NAB"].value == played.whole["NAB"].value
    assert group["SMD"].without.tolist() != played.whole["SMD"].without.tolist()


@pytest.mark.parametrize("name", list(FORECASTERS))
def test_every_forecaster_forecasts(name: str, collection: list[Series]) -> None:
    expected = play_collection(collection[:1], FORECASTERS[name]())[0].expected[50:140]
    assert np.abs(expected - 50.0).max() < 5.0


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    parts = np.array([1.0, 2.0, 4.0, 8.0])
    mean = estimate(4, 4, lambda places: float(parts[list(places)].mean()))
    assert mean.value == parts.mean()
    assert mean.standard_error == pytest.approx(parts.std(ddof=1) / 2.0)


def test_folds_leave_out_every_nth_series() -> None:
    left = estimate(5, 2, lambda places: float(sum(10**place for place in places)))
    assert (left.value, left.without.tolist()) == (11111.0, [1010.0, 10101.0])


def test_paired_difference_cancels_common_parts() -> None:
    one = Estimate(3.0, np.array([2.0, 4.0]))
    assert one.less(Estimate(2.5, np.array([1.5, 3.5]))).standard_error == 0.0
    mean, error = mean_of([one, one])
    assert mean == 3.0
    assert error == pytest.approx(one.standard_error / np.sqrt(2))


def test_table_shows_the_whole_and_the_removed_parts() -> None:
    def columns(value: float) -> dict[str, Estimate]:
        return {name: Estimate(value, np.array([value, value])) for name in ablation.MEAN_OF}

    lines = ablation.table({WHOLE: columns(0.5), "without calm": columns(0.25)}).splitlines()
    assert lines[0] == "| | NAB | cloud F1 | synthetic F1 | SMD | ASD | mean |"
    assert lines[2] == f"| {WHOLE} | 0.5 +- 0.0 |" + " 0.500 +- 0.000 |" * 4 + " 0.401 +- 0.000 |"
    assert lines[3] == "| without calm | -0.2 +- 0.0 |" + " -0.250 +- 0.000 |" * 4 + " -0.200 +- 0.000 |"


def test_figures_round_trip(tmp_path: Path) -> None:
    found = {WHOLE: {"NAB": Estimate(1.0, np.array([1.0, 2.0]))}}
    ablation.write(tmp_path / "a.json", found)
    again = ablation.read(tmp_path / "a.json")[WHOLE]["NAB"]
    assert (again.value, again.without.tolist()) == (1.0, [1.0, 2.0])
    assert ablation.read(tmp_path / "none.json") == {}
