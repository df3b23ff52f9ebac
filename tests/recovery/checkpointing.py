"""`python -m tests.recovery.checkpointing FOLDER`: restore, process some records, and make one checkpoint.

A separate process, so that its system calls can be made to fail. Exit code 0, or STATE_UNAVAILABLE if the store failed
and nothing was committed.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from detector.errors import StateUnavailable
from detector.state.directory import DirectoryStore
from tests.recovery.rig import Life, Log, World, make_log

STATE_UNAVAILABLE = 3


def small_log() -> Log:
    return make_log(7, streams=20, steps=40, partitions=1)


def main(folder: Path) -> int:
    world = World(small_log())
    life = Life(world, store=DirectoryStore(folder, "group"))
    life.turns(1)
    try:
        life.checkpoint()
    except StateUnavailable as exc:
        for line in (b"the store\n", b"says:\n"):
            with suppress(OSError):  # one of this thread's first two may be made to fail, too
                os.write(2, line)
        sys.stderr.write(f"{exc}\n")
        return STATE_UNAVAILABLE if not world.committed else 1
    return 0 if world.committed else 1


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # as after a crash: nothing is closed
