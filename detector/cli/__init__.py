"""The console script. It imports the commands when it runs, so that Ctrl-C ends it quietly from the first moment on."""

import sys


def main() -> None:
    """Run a command; 130 where a person broke it off."""
    try:
        from detector.cli import commands

        commands.main()
    except KeyboardInterrupt:
        sys.exit(130)
