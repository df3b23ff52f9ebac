"""Lessons mark the faults, the ranking loss falls as faults stand out, students learn it, columns are right."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.detection.components import Trace
from benchmarks.detection.synthetic import FAULTS
from benchmarks.detection.teaching import (
    CONTROL,
    OBJECTIVES,
    RECOVERY_STEPS,
    TAUGHT,
    Lesson,
    Pupil,
    lesson,
    missed,
    ranking,
)
from benchmarks.detection.training import SHIPPED, by_kind, held_out, losses, taught
from detector.backtest.series import Series
from detector.models.weights import load
from detector.models.windows import record
from detector.synthetic import draw_streams

pytestmark = pytest.mark.usefixtures("one_thread")

STREAMS, STEPS = 48, 512


@pytest.fixture(scope="module")
def faulty() -> Lesson:
    return lesson([1, 2], STREAMS, STEPS)


def test_lesson_marks_the_changed_values(faulty: Lesson) -> None:
    clean = record(*draw_streams([1, 2], STREAMS, STEPS))
    step_TS, clean_TS = (windows.target_TS * windows.unit_TS for windows in (faulty.windows, clean))
    size_S = clean_TS.abs().amax(0) + 1e-9
    same_TS = (step_TS - clean_TS).abs() < 1e-4 * size_S
    fault_TS = faulty.fault_TS.bool()
    begins_TS = fault_TS.clone()
    begins_TS[1:] &= ~fault_TS[:-1]
    before_TS = torch.roll(begins_TS, -1, 0)
    assert begins_TS.sum() >= 2 * 0.8 * STREAMS
    assert same_TS[before_TS].all()
    assert (~same_TS[begins_TS]).float().mean() > 0.9
    assert same_TS[faulty.ordinary_TS.bool()].all()
    assert not (fault_TS & faulty.ordinary_TS.bool()).any()
    ends_S = fault_TS.int().cumsum(0).argmax(0)
    assert all((faulty.ordinary_TS[end : end + RECOVERY_STEPS + 1, one] == 0).all() for one, end in enumerate(ends_S))


def test_every_sort_has_kinds_held_out_for_evaluation() -> None:
    assert set(TAUGHT) < set(FAULTS)
    assert set(FAULTS) - set(TAUGHT) >= {"drift", "missing season", "phase shift", "frequency change"}


def sizes(*faults: float, unit: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """(sizes, faults, ordinary ones) of one stream whose ordinary sizes are 1."""
    size_TS = unit * torch.ones(100, 1)
    size_TS[50 : 50 + len(faults), 0] = unit * torch.tensor(faults)
    fault_TS = torch.zeros(100, 1)
    fault_TS[50 : 50 + len(faults)] = 1.0
    return size_TS, fault_TS, 1.0 - fault_TS


def test_ranking_loss_falls_as_faults_stand_out() -> None:
    found = [float(ranking(*sizes(1.0, one), throughout=False)) for one in (1.0, 4.0, 16.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(np.log1p(2.0), abs=1e-2)
    noisy_TS, fault_TS, ordinary_TS = sizes(1.0, 4.0)
    noisy_TS[10] = 4.0
    assert float(ranking(noisy_TS, fault_TS, ordinary_TS, throughout=False)) > found[1] + 0.1
    assert float(ranking(*sizes(1.0, 4.0, unit=100.0), throughout=False)) == pytest.approx(found[1], abs=1e-2)
    assert float(ranking(*sizes(), throughout=False)) == 0.0


def test_fault_that_a_forecast_follows_shows_in_every_residual() -> None:
    followed, held = sizes(16.0, 1.0, 1.0), sizes(16.0, 16.0, 16.0)
    assert float(ranking(*followed, throughout=False)) == pytest.approx(float(ranking(*held, throughout=False)))
    assert float(ranking(*followed, throughout=True)) > float(ranking(*held, throughout=True)) + 0.5


def test_student_learns_its_task(faulty: Lesson) -> None:
    pupils = {name: Pupil(copy.deepcopy(load().backbone), 16, OBJECTIVES[name]) for name in (CONTROL, "all 1")}
    for pupil in pupils.values():
        while not pupil.done:
            pupil.attend(faulty)
        assert pupil.updates == 16
    faint = {name: missed(pupil.backbone, faulty, throughout=True) for name, pupil in pupils.items()}
    assert faint["all 1"] < faint[CONTROL] - 0.02
    found = losses(pupils["all 1"].backbone, faulty.windows, faulty)
    assert found["all"] == faint["all 1"] != found["largest"]


def test_networks_round_trip(tmp_path: Path) -> None:
    made = taught(tmp_path, seed=1, updates=1, streams=4, steps=64)
    again = taught(tmp_path, seed=2, updates=1, streams=4, steps=64)
    assert list(made) == [CONTROL, SHIPPED, *list(OBJECTIVES)[1:]]
    for name, backbone in made.items():
        for one, other in zip(backbone.parameters(), again[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    parts = held_out(4, 64)
    assert losses(made[CONTROL], *parts) != losses(made[SHIPPED], *parts)


def test_columns_distinguish_learned_kinds_from_others() -> None:
    def one(kind: str) -> Series:
        return Series(f"level/{kind}", 3600.0 * np.arange(400.0), np.zeros(400), np.array([[200, 202]]))

    def trace(caught: bool) -> Trace:
        score = np.zeros(400)
        score[201] = 2.0 * caught
        return Trace(*[score] * 7)

    suites = [[one("spike"), one("drift")], [one("dip"), one("phase shift")]]
    found = by_kind(suites, [trace(True), trace(False), trace(True), trace(True)])
    assert [estimate.value for estimate in found.values()] == [1.0, 0.5]
