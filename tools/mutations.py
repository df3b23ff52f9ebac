"""Breaks each guarantee on purpose, a place at a time, and sees its test fail.

    python -m tools.mutations            every row of mutations.yaml that needs no broker
    python -m tools.mutations G10 S4     those of some guarantees
    python -m tools.mutations --all      those that start a real broker, too

Each row changes a copy of the repository and runs one test there, which must fail. docs/guarantees.md says what the
guarantees are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_suffix(".yaml")
FAILED = 1
"""pytest's status where tests ran and one failed; a file that cannot be imported gives another one."""
LONGEST_SECONDS = 900.0


@dataclass(frozen=True)
class Mutation:
    """One way to break a guarantee."""

    guarantee: str
    broken: str
    """What is wrong then."""
    file: str
    old: str
    new: str
    test: str
    """A pytest node that must fail."""

    @property
    def needs_broker(self) -> bool:
        """True where the test starts a real broker."""
        return self.test.startswith("tests/integration/")

    def apply(self, root: Path) -> str:
        """Change the file below `root`; what it held before. Raises ValueError where `old` is not there once."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times {self.old!r}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        return text


def table() -> list[Mutation]:
    """Every row."""
    return [Mutation(**row) for row in yaml.safe_load(TABLE.read_text(encoding="utf-8"))]


def copy_of_the_repository(folder: Path) -> Path:
    """What git knows or would take, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def verdict(mutation: Mutation, root: Path) -> str:
    """`seen` where the test fails with the mutation; else what happened instead."""
    before = mutation.apply(root)
    options = ["-q", "-x", "--timeout", "0", "-p", "no:cacheprovider", "-p", "tools.unshrunk"]
    command = [sys.executable, "-m", "pytest", *options, mutation.test]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ran = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "TAKES TOO LONG"
    finally:
        (root / mutation.file).write_text(before, encoding="utf-8")
    return {FAILED: "seen", 0: "NOT SEEN"}.get(ran.returncode, f"PYTEST ENDED WITH {ran.returncode}")


def main() -> int:
    """Exit status: 0 where every test failed as it must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guarantees", nargs="*", help="G1, S4 and so on; default: all")
    parser.add_argument("--all", action="store_true", help="also the rows that start a broker")
    options = parser.parse_args()
    rows = [row for row in table() if not options.guarantees or row.guarantee in options.guarantees]
    rows = [row for row in rows if options.all or not row.needs_broker]
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="detector-mutations-") as folder:
        root = copy_of_the_repository(Path(folder))
        for row in rows:
            began = time.monotonic()
            found = verdict(row, root)
            unseen += found != "seen"
            seconds = time.monotonic() - began
            print(f"{row.guarantee:4} {found:8} {seconds:5.0f} s  {row.broken}; {row.test}", flush=True)
    print(f"{len(rows) - unseen} of {len(rows)} seen")
    return int(unseen > 0)


if __name__ == "__main__":
    raise SystemExit(main())
