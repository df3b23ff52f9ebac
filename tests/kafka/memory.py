"""Folders for brokers' data, in memory where there is room: a disk that stalls stops no broker there."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
"""A test run's brokers write 0.4 GB."""
# Standard input ends with this process. Its brokers are killed at the same moment, and may still be writing then.
_REMOVE = 'read -r done || { sleep 1; rm -rf -- "$1"; }'


@contextmanager
def data_folder(otherwise: Path, room_bytes: int = ROOM_BYTES, memory: Path = MEMORY) -> Iterator[Path]:
    """A new folder, in `memory` if that has room, or else in `otherwise`.

    It ends with the context or with this process: a shell waits for either, and so removes it after `kill -9`, too.
    """
    place = memory if _room(memory) >= room_bytes else otherwise
    folder = Path(tempfile.mkdtemp(prefix="detector-kafka-", dir=place))
    remover = subprocess.Popen(
        ["/bin/sh", "-c", _REMOVE, "remover", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the tests, which then end the context
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        remover.communicate(b"done\n")


def _room(memory: Path) -> int:
    """Bytes that may be written there. Only Linux has such a folder, and containers often one of 64 MB."""
    return min(shutil.disk_usage(memory).free, psutil.virtual_memory().available) if memory.is_dir() else 0
