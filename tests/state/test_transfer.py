"""`detector state`: copies state between stores byte for byte, and reverts to an earlier snapshot."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from detector.config import Config
from detector.errors import StateDamaged, StateError, StateMissing, StateOccupied, StateUnavailable
from detector.inspect import move
from detector.protocols import Stored
from detector.records import Partition
from detector.state.archive import opened
from detector.state.directory import DirectoryReader
from detector.state.manifest import block_name
from detector.state.steps import complete
from detector.state.survey import at_offset, survey
from detector.state.transfer import put, revert_to
from detector.testing import MemoryStore
from tests.state.stocked import PARTITIONS, Stock, directory_config

A, B = PARTITIONS


@pytest.fixture
def archive(stocked: Path, tmp_path: Path) -> Path:
    move.export_to(directory_config(stocked), tmp_path / "archive.tar", None, force=False)
    return tmp_path / "archive.tar"


def blobs(folder: Path) -> dict[Partition, dict[str, bytes]]:
    found = DirectoryReader(folder, "detector").partitions()
    return {stored.partition: dict(stored.blobs) for stored in found if stored.blobs}


def offsets(folder: Path) -> dict[Partition, list[int]]:
    found = [survey(stored) for stored in DirectoryReader(folder, "detector").partitions()]
    return {(one.topic, one.partition): [snapshot.offset for snapshot in one.snapshots] for one in found}


def import_from(
    config: Config, archive: Path, partition: Partition | None = None, *, at: int | None = None, force: bool = False
) -> list[str]:
    return move.import_from(config, archive, partition, at=at, force=force, while_running=True)


def test_blobs_that_no_intact_snapshot_needs_are_counted(stocked: Path) -> None:
    stored = DirectoryReader(stocked, "detector").open(B)
    assert survey(stored).other_blobs == 0
    stray = {**stored.blobs, block_name(99, 0, "stray"): b""}
    assert survey(Stored(B, stray, stored.written_at)).other_blobs == 1


def test_round_trip_is_byte_equal(stocked: Path, archive: Path, tmp_path: Path) -> None:
    said = import_from(directory_config(tmp_path / "new"), archive)
    assert said == ["metrics/0 resumes at offset 80, 300 streams", "metrics/1 resumes at offset 80, 3 streams"]
    assert blobs(tmp_path / "new") == blobs(stocked)
    move.export_to(directory_config(tmp_path / "new"), tmp_path / "again.tar", A, force=False)
    with opened(tmp_path / "again.tar") as (index, (only,)):
        assert index.group == "detector"
        assert dict(only.blobs) == blobs(stocked)[A]


def test_worker_continues_from_imported_state(archive: Path, tmp_path: Path) -> None:
    import_from(directory_config(tmp_path / "new"), archive)
    stock = Stock(directory_config(tmp_path / "new"))
    restored = [complete(stock.snapshots.restore(partition)) for partition in PARTITIONS]
    assert [manifest.offset for manifest in restored if manifest] == [80, 80]
    assert stock.pipeline.table.streams == 303


def test_export_of_one_partition_at_an_older_snapshot(archive: Path, tmp_path: Path) -> None:
    import_from(directory_config(tmp_path), archive, A, at=70)
    assert offsets(tmp_path) == {A: [70]}


def test_import_replaces_existing_state_only_with_force_and_then_completely(archive: Path, tmp_path: Path) -> None:
    other = Stock(directory_config(tmp_path / "other"))
    other.feed(90)
    other.checkpoint()
    other.store.close(5.0)
    before = blobs(tmp_path / "other")
    with pytest.raises(StateOccupied, match="there is state of metrics/0, metrics/1 in the store; --force replaces it"):
        import_from(directory_config(tmp_path / "other"), archive)
    assert blobs(tmp_path / "other") == before
    import_from(directory_config(tmp_path / "other"), archive, A, force=True)
    assert offsets(tmp_path / "other") == {A: [80, 70], B: [90]}
    assert blobs(tmp_path / "other")[B] == before[B]


def test_export_replaces_an_existing_file_only_with_force(stocked: Path, archive: Path) -> None:
    with pytest.raises(StateOccupied, match="exists; --force replaces it"):
        move.export_to(directory_config(stocked), archive, None, force=False)
    archive.write_bytes(b"")
    assert len(move.export_to(directory_config(stocked), archive, None, force=True)) == 2
    assert archive.stat().st_size > 1_000_000


def rewritten(archive: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """The tar file with changed contents."""
    out = io.BytesIO()
    with tarfile.open(archive) as before, tarfile.open(fileobj=out, mode="w") as after:
        for member in before.getmembers():
            file = before.extractfile(member)
            assert file is not None
            blob = change(member.name, file.read())
            if blob is not None:
                member.size = len(blob)
                after.addfile(member, io.BytesIO(blob))
    archive.write_bytes(out.getvalue())


def flip(blob: bytes) -> bytes:
    return blob[:5000] + bytes([blob[5000] ^ 1]) + blob[5001:]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda name, blob: flip(blob) if "1/block" in name else blob, "does not match its checksum"),
        (lambda name, blob: None if "1/block" in name else blob, "is missing"),
        (lambda name, blob: None if name == "index.json" else blob, "index.json is missing"),
        (lambda name, blob: b"[" if name == "index.json" else blob, "its index is not valid"),
        (lambda name, blob: blob.replace(b"block-", b"../..-") if name == "index.json" else blob, "cannot be state"),
        (
            lambda name, blob: blob.replace(b'"format":1', b'"format":2') if name == "index.json" else blob,
            "reads up to 1",
        ),
    ],
)
def test_s4_g13_damaged_archive_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, change: Callable[[str, bytes], bytes | None], told: str
) -> None:
    rewritten(archive, change)
    with pytest.raises(StateError, match=told):
        import_from(directory_config(tmp_path / "new"), archive)
    assert not (tmp_path / "new").exists()


def test_s4_g13_archive_with_a_link_to_itself_is_refused(archive: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(archive) as before, tarfile.open(fileobj=out, mode="w") as after:
        for member in before.getmembers():
            file = before.extractfile(member)
            if "1/block" in member.name:
                member.type, member.linkname, member.size = tarfile.SYMTYPE, Path(member.name).name, 0
            after.addfile(member, file)
    archive.write_bytes(out.getvalue())
    with pytest.raises(StateDamaged, match=r"metrics/1/block-.* is missing"):
        import_from(directory_config(tmp_path / "new"), archive)
    assert not (tmp_path / "new").exists()


def test_file_that_is_no_archive_is_named(stocked: Path, archive: Path, tmp_path: Path) -> None:
    cut = archive.read_bytes()[:-20_000]
    archive.write_bytes(cut)
    with pytest.raises(StateDamaged):
        import_from(directory_config(tmp_path / "new"), archive)
    archive.write_bytes(b"nothing of the kind")
    with pytest.raises(StateDamaged, match="not a complete archive"):
        import_from(directory_config(tmp_path / "new"), archive)
    with pytest.raises(StateUnavailable, match="No such file"):
        import_from(directory_config(tmp_path / "new"), tmp_path / "nowhere.tar")
    with pytest.raises(StateMissing, match="nothing to export"):
        move.export_to(directory_config(tmp_path / "new"), tmp_path / "empty.tar", None, force=False)
    assert not (tmp_path / "empty.tar").exists()
    with pytest.raises(StateUnavailable, match="archive cannot be written"):
        move.export_to(directory_config(stocked), tmp_path / "nowhere" / "a.tar", None, force=False)


class Moving(DirectoryReader):
    """A reader of a store whose worker deletes the listed blocks before they are read, this many times."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder, "detector")
        self.left = times

    def open(self, partition: Partition) -> Stored:
        stored = super().open(partition)
        self.left -= 1
        if self.left < 0:
            return stored
        manifests = {name: blob for name, blob in stored.blobs.items() if name.startswith("manifest")}
        return Stored(partition, manifests, stored.written_at)


def test_export_retries_when_a_worker_deletes_blocks(stocked: Path, tmp_path: Path) -> None:
    (found,) = move.exported(Moving(stocked, 2), "detector", tmp_path / "a.tar", A)
    assert [snapshot.damaged for snapshot in found.snapshots] == [None, None]
    with pytest.raises(StateDamaged, match="metrics/0: none of its 2 snapshots is intact"):
        move.exported(Moving(stocked, 3), "detector", tmp_path / "b.tar", A)
    assert not (tmp_path / "b.tar").exists()


def held(folder: Path, partition: Partition) -> Stored:
    return DirectoryReader(folder, "detector").open(partition)


def test_revert_goes_back_one_snapshot_and_keeps_the_rest(archive: Path, tmp_path: Path) -> None:
    config = directory_config(tmp_path / "state")
    import_from(config, archive)
    said = move.revert(config, A, at=None, while_running=True)
    assert said == ["metrics/0 goes back to offset 70, 300 streams"]
    assert offsets(tmp_path / "state") == {A: [70], B: [80, 70]}
    assert survey(held(tmp_path / "state", A)).other_blobs == 0
    with pytest.raises(StateMissing, match="no earlier intact snapshot"):
        move.revert(config, A, at=None, while_running=True)
    with pytest.raises(StateMissing, match="there is no snapshot at offset 75; there are some at 80, 70"):
        move.revert(config, B, at=75, while_running=True)
    assert offsets(tmp_path / "state")[B] == [80, 70]


def test_g13_revert_changes_nothing_if_one_partition_cannot_go_back(archive: Path, tmp_path: Path) -> None:
    config = directory_config(tmp_path / "state")
    import_from(config, archive)
    move.revert(config, B, at=None, while_running=True)
    with pytest.raises(StateMissing, match="metrics/1: there is no earlier intact snapshot"):
        move.revert(config, None, at=None, while_running=True)
    assert offsets(tmp_path / "state") == {A: [80, 70], B: [70]}


def test_export_of_nothing_keeps_the_existing_archive(archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(StateMissing, match="nothing is stored for group detector"):
        move.export_to(directory_config(tmp_path / "empty"), archive, None, force=True)
    assert archive.read_bytes() == before
    with pytest.raises(StateMissing, match="nothing is stored for group detector"):
        move.export_to(directory_config(tmp_path / "empty"), tmp_path / "new.tar", None, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.tar"]


class Interrupted(BaseException):
    """Stands for the end of the process."""


class Dying(MemoryStore):
    """Dies at one of its flushes: what was written before may have arrived, or not."""

    def __init__(self, durable: dict[Partition, dict[str, bytes]], at: int, arrives: bool) -> None:
        super().__init__(durable, lambda: arrives)
        self.left = at

    def flush(self, timeout_seconds: float) -> None:
        if self.left == 0:
            self.crash()
            raise Interrupted
        self.left -= 1
        super().flush(timeout_seconds)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("step", range(4))
def test_g13_interrupted_import_leaves_one_whole_state_and_can_be_repeated(
    stocked: Path, tmp_path: Path, step: int, arrives: bool
) -> None:
    other = Stock(directory_config(tmp_path))
    other.feed(90)
    other.checkpoint()
    durable, stored = {A: dict(held(tmp_path, A).blobs)}, held(stocked, A)
    with pytest.raises(Interrupted):
        put(stored, Dying(durable, step, arrives), at=None, force=True, timeout_seconds=1.0)
    found = at_offset(survey(Stored(A, durable[A], dict.fromkeys(durable[A], 0.0))), None)
    assert found.offset in (80, 90)
    put(stored, MemoryStore(durable), at=None, force=True, timeout_seconds=1.0)
    assert durable[A] == dict(stored.blobs)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("step", range(2))
def test_g13_interrupted_import_to_an_empty_store_leaves_no_partial_snapshot(
    stocked: Path, step: int, arrives: bool
) -> None:
    durable: dict[Partition, dict[str, bytes]] = {A: {}}
    with pytest.raises(Interrupted):
        put(held(stocked, A), Dying(durable, step, arrives), at=None, force=False, timeout_seconds=1.0)
    found = survey(Stored(A, durable[A], dict.fromkeys(durable[A], 0.0)))
    assert [snapshot.damaged for snapshot in found.snapshots] == ([None, None] if step == 1 and arrives else [])


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("step", range(2))
def test_g13_interrupted_revert_leaves_one_whole_state_and_can_be_repeated(
    stocked: Path, step: int, arrives: bool
) -> None:
    durable = {A: dict(held(stocked, A).blobs)}

    def stored() -> Stored:
        return Stored(A, dict(durable[A]), dict.fromkeys(durable[A], 0.0))

    with pytest.raises(Interrupted):
        revert_to(stored(), Dying(durable, step, arrives), at=70, timeout_seconds=1.0)
    found = at_offset(survey(stored()), None)
    assert found.offset == (80 if step == 0 and not arrives else 70)
    revert_to(stored(), MemoryStore(durable), at=70, timeout_seconds=1.0)
    assert [snapshot.offset for snapshot in survey(stored()).snapshots] == [70]
    assert survey(stored()).other_blobs == 0
