"""The console script. It imports the commands only when called, so that Ctrl-C exits quietly even while they load."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run a command. Exits with 130 after Ctrl-C, and 143 if its container is stopped while it loads."""
    if os.getpid() == 1:
        # The kernel drops signals that a container's first process (PID 1) has no handler for, also during the imports.
        signal.signal(signal.SIGTERM, _end)
    try:
        from detector.cli import commands

        commands.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
