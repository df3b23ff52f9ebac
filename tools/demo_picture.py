"""Draw docs/images/demo.svg: what `make demo` looks like. Needs tmux, a terminal that can be photographed.

.venv/bin/python tools/demo_picture.py
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, ROWS = 120, 24
SECONDS = 36.0
"""Into the demo, when there is something to see."""
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo.svg"


def photograph() -> str:
    """The screen, with its colours as escape sequences."""
    session = f"detector-demo-{int(time.time())}"
    command = f"{sys.executable} -m detector demo --duration 60"
    subprocess.run(
        ["tmux", "new-session", "-d", "-s", session, "-x", str(COLUMNS), "-y", str(ROWS), command], check=True
    )
    try:
        time.sleep(SECONDS)
        shot = subprocess.run(["tmux", "capture-pane", "-e", "-p", "-t", session], check=True, capture_output=True)
    finally:
        subprocess.run(["tmux", "kill-session", "-t", session], check=False)
    return shot.stdout.decode()


def main() -> None:
    """Photograph and save."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(photograph().rstrip("\n")))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(PICTURE), title="make demo")


if __name__ == "__main__":
    main()
