"""Where brokers' data are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.kafka.endpoint import eventually
from tests.kafka.memory import data_folder


def test_data_are_in_memory_if_there_is_room_and_gone_afterwards(tmp_path: Path) -> None:
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    for room_bytes, place in ((1, memory), (1 << 60, disk)):
        with data_folder(disk, room_bytes, memory) as folder:
            assert folder.parent == place
            (folder / "node-1").mkdir()
        assert not folder.exists()
    with data_folder(disk, memory=tmp_path / "missing") as folder:
        assert folder.parent == disk


def test_data_are_removed_after_kill_9(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from tests.kafka.memory import data_folder
with data_folder(Path({str(tmp_path)!r}), memory=Path("/nowhere")) as folder:
    (folder / "node-1").mkdir()
    print(folder, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        assert folder.parent == tmp_path
        parent.kill()
    eventually(lambda: not folder.exists(), f"{folder} is removed")
