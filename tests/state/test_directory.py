"""What is in a folder of state although no worker put it there."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from detector.errors import StateDamaged, StateUnavailable
from detector.state.directory import DirectoryReader, DirectoryStore
from detector.state.history import newest as newest_intact
from detector.state.manifest import block_name, manifest_name, manifest_offset
from detector.state.steps import complete
from detector.state.survey import survey
from tests.state.stocked import Stock, directory_config

PARTITION = ("metrics", 0)


@pytest.mark.parametrize(
    "put",
    [Path.mkdir, os.mkfifo, lambda file: file.symlink_to("/dev/null"), lambda file: file.symlink_to(file)],
    ids=["folder", "pipe", "device", "loop"],
)
def test_g13_what_is_no_file_is_damage(put: Callable[[Path], object], tmp_path: Path) -> None:
    config = directory_config(tmp_path)
    Stock(config).two_snapshots()
    stored = DirectoryReader(tmp_path, config.source.kafka.group_id).open(PARTITION)
    name = max(name for name in stored.blobs if manifest_offset(name) is not None)
    file = tmp_path / "group=detector/topic=metrics/0" / name
    file.unlink()
    put(file)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(stored.blobs.__getitem__, name)
        try:
            with pytest.raises(StateDamaged, match=rf"{name} cannot be read \("):
                reading.result(30.0)
        finally:
            if file.is_fifo():
                os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))  # so that no reader waits for ever


def test_what_was_deleted_before_the_close_is_gone(tmp_path: Path) -> None:
    store, names = DirectoryStore(tmp_path, "group"), [block_name(1, number, "w") for number in range(50)]
    for name in names:
        store.write(PARTITION, name, b"a")
    store.flush(600.0)
    store.write(PARTITION, manifest_name(1, "w"), bytes(32 << 20))  # the deletions have to wait for it
    for name in names:
        store.delete(PARTITION, [name])
    store.close(600.0)
    assert set(DirectoryReader(tmp_path, "group").open(PARTITION).blobs) == {manifest_name(1, "w")}


def test_worker_waits_for_a_disk_that_takes_nothing_instead_of_holding_ever_more_blobs(tmp_path: Path) -> None:
    store, handed_over = DirectoryStore(tmp_path, "group"), 0
    folder = store.folder(PARTITION)
    folder.mkdir(parents=True)
    hanging = folder / (block_name(1, 0, "w") + ".part")
    os.mkfifo(hanging)  # opening it takes until somebody reads

    def hand_over() -> None:
        nonlocal handed_over
        for number in range(1_000):
            store.write(PARTITION, block_name(1, number, "w"), b"a")
            handed_over += 1

    with ThreadPoolExecutor(1) as worker:
        working = worker.submit(hand_over)
        wait([working], 0.5)
        waiting, done = handed_over, working.done()
        os.close(os.open(hanging, os.O_RDONLY | os.O_NONBLOCK))
        with pytest.raises(StateUnavailable, match="the state cannot be written"):  # the pipe has no reader any more
            working.result(60.0)
    assert (waiting <= 64, done) == (True, False)
    store.close(60.0)


def test_g13_an_older_block_under_the_name_of_a_newer_one_is_damage(tmp_path: Path) -> None:
    config = directory_config(tmp_path)
    stock = Stock(config)
    stock.two_snapshots()
    stored = DirectoryReader(tmp_path, config.source.kafka.group_id).open(PARTITION)
    older, newer = sorted(name for name in stored.blobs if name.startswith("block-") and "-000000-" in name)
    file = tmp_path / "group=detector/topic=metrics/0" / newer
    file.write_bytes(stored.blobs[older])
    newest, before = survey(stored).snapshots
    assert newest.damaged == f"{newer}: holds the block as of offset {before.offset}, not {newest.offset}"
    complaints: list[str] = []
    restored = complete(
        newest_intact(
            stored.blobs, PARTITION, stock.pipeline.table.fields, {}, lambda name, why: complaints.append(name)
        )
    )
    assert restored is not None
    assert restored.manifest.offset == before.offset
    assert complaints == [newest.name]
