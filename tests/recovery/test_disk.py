"""G13: each system call with which the directory store makes a checkpoint durable fails once, injected by strace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from detector.errors import StateUnavailable
from detector.state.directory import DirectoryStore
from detector.state.manifest import block_name, manifest_name
from tests.kafka.endpoint import eventually
from tests.recovery.checkpointing import STATE_UNAVAILABLE, small_log
from tests.recovery.rig import Life, World, oracle

# A block and a manifest are written and synced by the store's own thread; after each of both it syncs their folder and
# the two above, which may be new.
CALLS = {"write": 2, "fsync": 2 * (1 + 3), "rename": 2}
FAILING = [(call, nth) for call, times in CALLS.items() for nth in range(1, times + 1)]
ERRORS = {"write": "ENOSPC", "fsync": "EIO", "rename": "ENOSPC"}


def checkpoint(folder: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    """Make a checkpoint in a process of its own, under strace if options are given."""
    watched = ["strace", "-f", "-qq", "-o", str(folder.parent / "calls"), *strace] if strace else []
    return subprocess.run(
        [*watched, sys.executable, "-B", "-m", "tests.recovery.checkpointing", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a first snapshot."""
    folder = tmp_path_factory.mktemp("disk") / "state"
    done = checkpoint(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_system_calls_of_a_checkpoint_are_those_listed(stocked: Path, tmp_path: Path) -> None:
    shutil.copytree(stocked, tmp_path / "state")
    done = checkpoint(tmp_path / "state", f"--trace={','.join(CALLS)}")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "calls").read_text().splitlines()
    ours = [line for line in lines if " write(" not in line or "DETSTATE" in line]
    assert {call: sum(f" {call}(" in line for line in ours) for call in CALLS} == CALLS


def test_everything_is_synced_when_nothing_is_in_flight(tmp_path: Path) -> None:
    synced_by: list[int] = []

    class Watched(DirectoryStore):
        def _sync_folders(self) -> None:
            synced_by.append(threading.get_ident())
            super()._sync_folders()

    store = Watched(tmp_path, "group")
    store.write(("metrics", 0), manifest_name(1, "w"), b"m")
    eventually(lambda: store.in_flight == 0, "it is written")
    assert len(synced_by) == 1
    assert threading.get_ident() not in synced_by, "the worker's thread waits for no disk"
    store.close(1.0)


def test_g13_blocks_of_a_checkpoint_that_failed_on_a_full_disk_are_removed(tmp_path: Path) -> None:
    """Blocks that existed before stay: an import writes them again, and a manifest needs them."""
    place, store = ("metrics", 0), DirectoryStore(tmp_path, "group")
    named, fresh, refused = (block_name(offset, 0, "w") for offset in (1, 2, 3))
    for name in (named, manifest_name(1, "w"), fresh, named):
        store.write(place, name, b"x")
    store.flush(60.0)
    (store.folder(place) / f"{refused}.part").mkdir()
    store.write(place, refused, b"x")
    with pytest.raises(StateUnavailable):
        store.flush(60.0)
    store.close(60.0)
    assert {file.name for file in store.folder(place).iterdir() if file.is_file()} == {named, manifest_name(1, "w")}
    whole = DirectoryStore(tmp_path, "group")
    whole.write(place, fresh, b"x")
    whole.close(60.0)
    assert (store.folder(place) / fresh).exists(), "where all could be written, a successor cleans up"


@pytest.mark.parametrize(("call", "nth"), FAILING)
def test_g13_failing_system_call_is_a_named_error_and_leaves_correct_state(
    stocked: Path, tmp_path: Path, call: str, nth: int
) -> None:
    folder = tmp_path / "state"
    shutil.copytree(stocked, folder)
    done = checkpoint(folder, f"--trace={call}", f"--inject={call}:error={ERRORS[call]}:when={nth}")
    assert done.returncode == STATE_UNAVAILABLE, done.stderr
    assert "the state cannot be written (" in done.stderr
    world = World(small_log())
    last = Life(world, store=DirectoryStore(folder, "group"))
    last.worker.run()
    assert last.state() == oracle(small_log())[0]
    assert last.metrics.registry.get_sample_value("detector_state_snapshots_damaged_total") == 0
