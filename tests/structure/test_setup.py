"""The setup that make runs: what it refuses to touch."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.structure.source import ROOT


def test_environment_that_is_a_symlink_is_not_touched(tmp_path: Path) -> None:
    others, mine = tmp_path / "others", tmp_path / "mine"
    others.mkdir()
    (others / "installed.json").write_text("{}")
    (mine / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "venv.py", mine / "tools")
    (mine / ".venv").symlink_to(others)
    ran = subprocess.run([sys.executable, mine / "tools" / "venv.py", "runtime"], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "is a link to" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (others / "installed.json").read_text() == "{}"
