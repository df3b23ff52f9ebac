"""`python -m tests.soak --minutes 60 --seed 1`: faults for that long, then a comparison with the oracle."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.run import Plan, Run

MEAN_GAP_SECONDS = 4.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of faults; start and end take three more")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the input and of the faults")
    parser.add_argument("--gap", type=float, default=MEAN_GAP_SECONDS, help="mean seconds between two faults")
    parser.add_argument("--folder", type=Path, help="where logs and the verdict are kept")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix=f"detector-soak-{options.seed}-"))
    folder.mkdir(parents=True, exist_ok=True)
    again = f"python -m tests.soak --minutes {options.minutes:g} --seed {options.seed} --gap {options.gap:g}"
    print(f"{again}\nlogs: {folder}", flush=True)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    verdict = Run(Plan(options.seed, options.minutes * 60, options.gap), folder, say).go()
    print(f"\n{verdict.markdown()}")
    if verdict.findings:
        print(f"FAILED. Logs: {folder}. Again: {again}")
        return 1
    if options.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
