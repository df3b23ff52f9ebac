"""The machine under a daemon: its clock may jump and its disk may fail, by a preloaded library."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_CONTROL = struct.Struct("<qq")
SOUND, FULL, FAILING = range(3)


def build_shim(folder: Path) -> Path:
    """Build the library in `folder`."""
    library = folder / "shim.so"
    subprocess.run(["cc", "-O1", "-Wall", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    return library


class Machine:
    """The clock and disk that the processes of one slot see."""

    def __init__(self, library: Path, control: Path) -> None:
        self._library = library
        self._path = control
        control.write_bytes(_CONTROL.pack(0, SOUND))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _CONTROL.size)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a process on this machine."""
        return {"LD_PRELOAD": str(self._library), "SOAK_CONTROL": str(self._path)}

    @property
    def clock_ahead_seconds(self) -> int:
        return int(_CONTROL.unpack(self._control[:])[0])

    @clock_ahead_seconds.setter
    def clock_ahead_seconds(self, seconds: int) -> None:
        self._control[:] = _CONTROL.pack(seconds, self.disk)

    @property
    def disk(self) -> int:
        """SOUND, FULL or FAILING."""
        return int(_CONTROL.unpack(self._control[:])[1])

    @disk.setter
    def disk(self, state: int) -> None:
        self._control[:] = _CONTROL.pack(self.clock_ahead_seconds, state)
