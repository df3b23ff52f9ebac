"""`python -m detector.learning FOLDER NICE`: one round of learning, as the worker starts it. See `files`.

Runs at the given niceness with one thread, and sleeps to stay within its share of a core. The worker holds standard
input open: when it closes, the worker is gone and this process exits.
"""

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


class Pace:
    """Keeps this process to its share of a core, including its start."""

    def __init__(self, share: float, not_counted: float = 0.0) -> None:
        self._share = share
        self._not_counted = not_counted
        self._began = time.monotonic() - self.used

    @property
    def used(self) -> float:
        """CPU seconds used, without those not counted."""
        return time.process_time() - self._not_counted

    def __call__(self) -> None:
        """Sleep until no more than the share has been used."""
        due = self.used / self._share - (time.monotonic() - self._began)
        if due > 0:
            time.sleep(due)


def end_with_worker(folder: Path) -> None:
    """Wait for the worker's end of the pipe to close, then exit."""
    # Not sys.stdin: this thread would still hold its lock when the process exits.
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Do the work while a thread watches for the worker's end; the worker reads the answer from the folder."""
    folder, nice = Path(sys.argv[1]), int(sys.argv[2])
    threading.Thread(target=end_with_worker, args=(folder,), daemon=True).start()
    with suppress(OSError):  # where a sandbox forbids it, the share of a core still holds
        os.nice(nice)
    # Imported here so that the watch begins before torch is loaded.
    from detector.learning.work import work

    work(folder, Pace)


if __name__ == "__main__":
    main()
