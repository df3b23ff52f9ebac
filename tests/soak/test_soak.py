"""The short schedule that every test run makes. `make soak` runs longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.faults import DECK
from tests.soak.run import Plan, Run

PLAN = Plan(seed=278, seconds=75.0, mean_gap_seconds=2.0)
"""A short schedule in which every kind of fault comes."""


@pytest.mark.integration
@pytest.mark.timeout(3_000)
def test_g1_g2_g4_g13_g16_nothing_is_lost_duplicated_or_changed_while_everything_fails_in_turn(tmp_path: Path) -> None:
    verdict = Run(PLAN, tmp_path, print).go()
    print(verdict.markdown())
    again = f"python -m tests.soak --seed {PLAN.seed} --minutes {PLAN.seconds / 60:g} --gap {PLAN.mean_gap_seconds:g}"
    assert not verdict.findings, f"logs: {tmp_path}, again: {again}"
    assert verdict.faults.keys() == DECK.keys()
