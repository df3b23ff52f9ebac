"""The checkers of deploy/: real programs, and a test fails where one is missing (tests/bootstrap brings them)."""

import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def check(*command: str | Path, stdin: str | None = None) -> str:
    """Run a checker; its complaint is the failure. Returns what it printed."""
    ran = subprocess.run(list(map(str, command)), cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=1500)
    assert ran.returncode == 0, f"{command[0]}:\n{ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr
