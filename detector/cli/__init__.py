"""The console script. It imports the commands when it runs, so that Ctrl-C ends it quietly from the first moment on."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run a command; 130 where a person broke it off, 143 where its container was stopped before it had begun."""
    if os.getpid() == 1:
        # A container's first process is spared the signals that it does not handle, also while it still imports.
        signal.signal(signal.SIGTERM, _end)
    try:
        from detector.cli import commands

        commands.main()
    except KeyboardInterrupt:
        sys.exit(130)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
