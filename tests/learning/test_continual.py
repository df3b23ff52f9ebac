"""Learning in a worker's loop, with a fake learning process."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest

from detector.learning import files
from detector.learning.buffer import NONE
from detector.learning.continual import CHOOSE_SECONDS, Learning, LearningSettings
from detector.learning.tuning import CANDIDATE
from detector.learning.versions import Versions, network, tensors_of
from detector.models.forecaster import Forecaster
from detector.pipeline.groups import Groups, GroupSettings
from detector.scoring import GroupScorer
from detector.streams.membership import GROUP, IS_GROUP
from detector.testing import log_to
from tests.learning.fleet import log_of, untrained, values
from tests.recovery.rig import Life, World

PARTITION = ("metrics", 0)
SETTINGS = LearningSettings(interval_seconds=10.0, cpu_share=1.0, streams=16, samples=128, learning_rate=1e-2)


class Told:
    """A process that has already answered."""

    def __init__(self, folder: Path, chosen: str | None, by: float, status: int) -> None:
        self.folder = folder
        self.status = status
        self.killed = False
        self.request = files.read_request(folder)
        if chosen == "base":
            chosen = BASE.sha256
        backbone = network(tensors_of(BASE.backbone), BASE.backbone)
        backbone.head.bias.data += by
        files.write_networks(folder, {CANDIDATE: tensors_of(backbone)})
        files.write_answer(folder, files.Answer(chosen, {"running": 1.0, CANDIDATE: 0.5}, 0.1))

    def poll(self) -> int | None:
        return self.status

    def complaint(self) -> str:
        return "out of paper"

    def kill(self) -> None:
        self.killed = True


BASE = untrained()


class Starter:
    """Starts fake processes and records them."""

    def __init__(self) -> None:
        self.chosen: str | None = CANDIDATE
        self.status = 0
        self.started: list[Told] = []

    def __call__(self, folder: Path) -> Told:
        self.started.append(Told(folder, self.chosen, 0.1 * (len(self.started) + 1), self.status))
        return self.started[-1]


def learning_life(world: World, start: Starter, *, keeps_state: bool = True) -> tuple[Life, Learning]:
    life = Life(world, forecaster=Forecaster(BASE), interval_seconds=5.0)
    versions = Versions(life.pipeline, BASE, Forecaster)
    if keeps_state:
        life.snapshots.weights = versions
    life.worker.learning = Learning(
        SETTINGS, versions, life.metrics.learning, log_to(life.log), life.clock, keeps_state=keeps_state, start=start
    )
    life.source.sizes = lambda: 100
    return life, life.worker.learning


def live(life: Life, turns: int) -> None:
    """Make this many turns after the first streams were chosen."""
    life.turns(1)
    life.clock.advance(CHOOSE_SECONDS)
    life.turns(turns)


def rounds(life: Life, result: str) -> float | None:
    return life.metrics.registry.get_sample_value("detector_learning_rounds_total", {"result": result})


def world() -> World:
    return World(log_of(values(10, 400)))


def test_candidate_takes_over_with_a_snapshot_and_survives_a_restart() -> None:
    here, start = world(), Starter()
    life, learning = learning_life(here, start)
    live(life, 17)
    assert rounds(life, "accepted") == 1
    (weights,) = learning.versions.current(PARTITION)
    assert weights.sha256 != BASE.sha256
    assert start.started[0].request.running == [BASE.sha256] * 10
    assert "learning: accepted" in life.log.getvalue()

    again, learnt = learning_life(here, Starter())
    again.source.sizes = lambda: 0
    again.turns(1)
    assert learnt.versions.current(PARTITION) == (weights,)
    assert weights.sha256[:12] in again.pipeline.model_of(PARTITION).name


def test_rejected_candidate_changes_nothing_and_the_next_round_waits_for_new_samples() -> None:
    start = Starter()
    start.chosen = None
    life, learning = learning_life(world(), start)
    live(life, 15)
    assert (rounds(life, "rejected"), len(start.started)) == (1, 1)
    life.source.sizes = lambda: 0
    life.turns(40)
    before = len(start.started)
    life.turns(40)
    assert len(start.started) == before
    life.source.sizes = lambda: 320  # 32 samples of each stream
    life.turns(1)
    life.source.sizes = lambda: 0
    life.turns(40)
    assert len(start.started) == before + 1
    assert learning.versions.current(PARTITION) == ()
    assert life.pipeline.models == {}


def test_previous_weights_can_return() -> None:
    start = Starter()
    life, learning = learning_life(world(), start)
    live(life, 16)
    assert learning.versions.current(PARTITION) != ()
    start.chosen = "base"
    life.turns(12)
    assert rounds(life, "reverted") == 1
    assert learning.versions.current(PARTITION) == ()


@pytest.mark.parametrize("what", ["status", "start", "answer", "weights"])
def test_failed_round_is_counted_and_logged_and_changes_nothing(what: str) -> None:
    class Failing(Starter):
        def __call__(self, folder: Path) -> Told:
            if what == "start":
                raise OSError("no more processes")
            told = super().__call__(folder)
            if what == "answer":
                (folder / "answer.json").write_text("{")
            elif what == "weights":
                files.write_networks(folder, {CANDIDATE: b"not these"})
            return told

    start = Failing()
    start.status = 7 if what == "status" else 0
    life, learning = learning_life(world(), start)
    live(life, 19)
    assert rounds(life, "failed") == 1
    assert "keeping the weights in use" in life.log.getvalue()
    assert learning.versions.current(PARTITION) == ()
    if what == "status":
        assert "out of paper" in life.log.getvalue()
        assert start.started[0].killed


def test_weights_of_a_partition_revoked_during_the_round_are_not_used() -> None:
    start = Starter()
    start.chosen = "f" * 64
    life, learning = learning_life(world(), start)
    live(life, 16)
    assert rounds(life, "rejected") == 1
    assert learning.versions.current(PARTITION) == ()


def test_full_disk_fails_the_round_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detected before anything is written: a mapped page without space on the disk would kill the process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, before[1]))
    try:
        life, _ = learning_life(world(), Starter())
        live(life, 19)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert rounds(life, "failed")
    assert list(tmp_path.iterdir()) == []


def test_disk_space_for_the_samples_of_a_round_is_reserved(tmp_path: Path) -> None:
    space_STW = files.stretches(tmp_path, 3, 1_000, "w+")
    assert space_STW.shape[:2] == (3, 1_000)
    assert (tmp_path / "stretches").stat().st_blocks * 512 >= space_STW.nbytes


def test_round_leaves_no_file() -> None:
    start = Starter()
    life, learning = learning_life(world(), start)
    live(life, 19)
    learning.close()
    assert start.started
    assert not any(told.folder.exists() for told in start.started)


def test_without_a_store_weights_take_over_at_once() -> None:
    life, learning = learning_life(world(), Starter(), keeps_state=False)
    life.worker.checkpoints.snapshots = None
    live(life, 16)
    assert len(learning.versions.current(PARTITION)) == 1


def test_revoked_partition_drops_its_samples_and_weights() -> None:
    from detector.protocols import AssignmentChanges

    life, learning = learning_life(world(), Starter())
    live(life, 16)
    life.source.pending_changes = [AssignmentChanges(lost=frozenset({PARTITION}))]
    life.source.resumed.discard(PARTITION)
    life.turns(1)
    assert learning.versions.current(PARTITION) == ()
    assert life.pipeline.models == {}
    assert not learning.buffer.taken_S.any()


def test_silent_streams_free_their_slots() -> None:
    wave_ST = values(30, 400)
    records = log_of(np.concatenate((wave_ST[:, :100], wave_ST[:, 100:]), axis=1))[PARTITION]
    # After a hundred minutes only the last ten streams go on.
    kept = [r for at, r in enumerate(records) if at < 30 * 100 or at % 30 >= 20]
    life, learning = learning_life(World({PARTITION: kept}), Starter())
    live(life, 200)
    names = [str(life.pipeline.table.key(int(row))) for row in learning.buffer.row_S[learning.buffer.row_S >= 0]]
    assert sorted(names) == sorted(f"s{n}" for n in range(20, 30))


def test_groups_take_no_slots() -> None:
    life, learning = learning_life(world(), Starter())
    life.pipeline.groups = Groups(GroupSettings(("__name__",)), GroupScorer(), life.pipeline.lifecycle)
    table = life.pipeline.table
    table.group_by = ("__name__",)
    live(life, 5)
    chosen = learning.buffer.row_S[learning.buffer.row_S != NONE]
    assert (table.columns[GROUP.name] == IS_GROUP).sum() == 10
    assert sorted(str(table.key(row)) for row in chosen.tolist()) == sorted(f"s{at}" for at in range(10))
