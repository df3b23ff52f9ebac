"""`python -m detector.learning FOLDER`: one round of learning, as the worker starts it. See `files`.

Runs at the lowest priority with one thread, and sleeps as much as its share of a core asks. Standard input is held open
by the worker: when it closes, the worker is gone, and so is this process.
"""

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

NICEST = 19


class Pace:
    """Keeps this process to its share of a core, from its beginning on."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._began = time.monotonic() - time.process_time()

    def __call__(self) -> None:
        """Sleep for as long as too much was used."""
        due = time.process_time() / self._share - (time.monotonic() - self._began)
        if due > 0:
            time.sleep(due)


def end_with_worker(folder: Path) -> None:
    """Wait for the worker's end of the pipe to close."""
    # Not sys.stdin, whose lock a thread that never returns would hold at the end.
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Work, watched over; the worker reads the answer from the folder."""
    folder = Path(sys.argv[1])
    threading.Thread(target=end_with_worker, args=(folder,), daemon=True).start()
    with suppress(OSError):  # where a sandbox forbids it, the share of a core still holds
        os.nice(NICEST)
    # Here and not above: the watch over the worker begins before torch is loaded.
    from detector.learning.work import work

    work(folder, Pace)


if __name__ == "__main__":
    main()
