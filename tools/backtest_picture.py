"""Draw docs/images/backtest.png: the report of `detector backtest` on six labelled streams. Needs Chromium.

.venv/bin/python -m tools.backtest_picture
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from detector.backtest.labels import iso
from detector.synthetic.faults import inject
from detector.synthetic.parts import Grid
from detector.synthetic.services import SERVICES

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "backtest.png"
SIZE = "1160,1392"
START, STEP_SECONDS, DAYS = 1_749_945_600.0, 300.0, 14
STREAMS = {
    "web/requests_per_second.csv": ("http_requests_per_second", {"drop_to_zero": 6.4, "spike": 9.2, "drift": 11.5}),
    "web/latency_seconds.csv": ("http_request_duration_seconds", {"level_shift": 5.3, "variance_burst": 9.1}),
    "db/cpu_ratio.csv": ("cpu_utilization_ratio", {"dip": 5.6, "flat_line": 9.8, "spike": 12.2}),
    "db/memory_bytes.csv": ("memory_used_bytes", {"drift": 7.2, "level_shift": 11.1}),
    "cache/queue.csv": ("queue_length", {"level_shift": 6.1, "spike": 10.3}),
    "jobs/queue.csv": ("queue_length", {"flat_line": 7.7, "variance_burst": 10.9}),
}
"""File -> metric, and the day on which each fault begins. The first one comes again on each of the two days after."""


def write(folder: Path) -> None:
    """The series below `folder / "series"`, and `folder / "windows.json"`."""
    times_T = START + STEP_SECONDS * np.arange(int(DAYS * 86_400 / STEP_SECONDS), dtype=np.float64)
    labels: dict[str, list[list[str]]] = {}
    for seed, (name, (metric, faults)) in enumerate(STREAMS.items()):
        rng = np.random.default_rng(seed)
        values_T = SERVICES[metric](Grid(rng, 1, times_T, STEP_SECONDS, events=False))[0]
        first = next(iter(faults))
        again = [(faults[first] + later, first) for later in (1.0, 2.0)]
        windows = []
        for day, kind in sorted([*((day, kind) for kind, day in faults.items()), *again]):
            fault = inject(values_T, kind, int(day * 86_400 / STEP_SECONDS), rng)
            windows.append([iso(times_T[fault.start]), iso(times_T[fault.end - 1])])
        labels[name] = windows
        path = folder / "series" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(("timestamp", "value"))
            writer.writerows(zip(map(iso, times_T), np.maximum(values_T, 0.0).round(4).tolist(), strict=True))
    (folder / "windows.json").write_text(json.dumps(labels), encoding="utf-8")


def main() -> None:
    """Write the series, replay them, and photograph the beginning of the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        command = [sys.executable, "-m", "detector", "backtest", "series", "--labels", "windows.json"]
        subprocess.run([*command, "--report", "report"], cwd=folder, check=True)
        page = (folder / "report" / "report.html").as_uri()
        browser = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE}"]
        subprocess.run([*browser, f"--screenshot={PICTURE}", page], check=True, timeout=120)
    Image.open(PICTURE).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
