"""`python -m detector.learning FOLDER NICE`: one round of learning, as the worker starts it. See `files`.

Runs at the given priority with one thread, and sleeps as much as its share of a core asks. Standard input is held open
by the worker: when it closes, the worker is gone, and so is this process.
"""

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


class Pace:
    """Keeps this process to its share of a core, what it took to begin included."""

    def __init__(self, share: float, not_counted: float = 0.0) -> None:
        self._share = share
        self._not_counted = not_counted
        self._began = time.monotonic() - self.used

    @property
    def used(self) -> float:
        """CPU seconds."""
        return time.process_time() - self._not_counted

    def __call__(self) -> None:
        """Sleep for as long as too much was used."""
        due = self.used / self._share - (time.monotonic() - self._began)
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
    folder, nice = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=end_with_worker, args=(folder,), daemon=True).start()
    with suppress(OSError):  # where a sandbox forbids it, the share of a core still holds
        os.nice(nice)
    # Here and not above: the watch over the worker begins before torch is loaded.
    from detector.learning.work import work

    work(folder, Pace)


if __name__ == "__main__":
    main()
