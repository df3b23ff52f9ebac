"""Draw docs/images/series.svg: one stream with labelled faults, its band, its alerts and its score.

.venv/bin/python -m tools.series_picture
"""

from __future__ import annotations

import csv
import re
import tempfile
from pathlib import Path

import numpy as np

from detector.app import build_pipeline
from detector.backtest.count import Judgement, judge
from detector.backtest.history import Recorder
from detector.backtest.labels import Window, iso
from detector.backtest.picture import HEIGHT, WIDTH, picture
from detector.config import Config
from detector.records import Float64
from detector.replay import find_files, replay
from detector.synthetic.faults import inject
from detector.synthetic.parts import Grid
from detector.synthetic.services import requests

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "series.svg"
SEED = 2
START, STEP_SECONDS, DAYS = 1_749_945_600.0, 300.0, 7
FAULTS = {"dip": 3.6, "flat_line": 4.4, "level_shift": 5.35, "drift": 6.3}
"""Kind -> day on which it begins."""
KEY = (
    ("#2b3c4e", "value"),
    ("#bcd5ee", "expected band"),
    ("#f8e9bd", "labelled fault"),
    ("var(--green)", "fault caught"),
    ("var(--blue)", "alert"),
    ("#a9b5c1", "anomaly_score"),
    ("var(--red)", "anomaly_score above 1"),
)
KEY_HEIGHT = 24


def draw() -> tuple[Float64, Float64, list[Window]]:
    """Times and values of requests a second with four faults, and the faults' first and last moments."""
    times_T = START + STEP_SECONDS * np.arange(int(DAYS * 86_400 / STEP_SECONDS), dtype=np.float64)
    rng = np.random.default_rng(SEED)
    values_T = requests(Grid(rng, 1, times_T, STEP_SECONDS, events=False))[0]
    windows = []
    for kind, day in FAULTS.items():
        fault = inject(values_T, kind, int(day * 86_400 / STEP_SECONDS), rng)
        windows.append((float(times_T[fault.start]), float(times_T[fault.end - 1])))
    return times_T, np.maximum(values_T, 0.0), windows


def judged() -> Judgement:
    """The series after a replay with every default, held against its labels."""
    times_T, values_T, windows = draw()
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "http_requests_per_second.csv"
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(("timestamp", "value"))
            writer.writerows(zip(map(iso, times_T.tolist()), values_T.round(3).tolist(), strict=True))
        (file,) = find_files([path])
        replay([file], None, None, lambda: build_pipeline(Config()), print, lambda _bytes: None, recorder)
        return judge(recorder.history(file), windows)


def svg(found: Judgement) -> str:
    """The backtest's own picture with its style and a key, as a file that needs nothing beside it."""
    css = (ROOT / "detector" / "backtest" / "report.css").read_text(encoding="utf-8")
    light = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", css).replace("light dark", "light")
    rules = [rule for rule in re.findall(r"[^{}]+\{[^{}]*\}", light) if rule.lstrip().startswith((":root", "svg "))]
    style = "".join(rule.strip() for rule in rules) + "svg{font-family:system-ui,sans-serif}"
    body = picture(found).split(">", 1)[1].removesuffix("</svg>")
    key, x = [], 62.0
    for colour, words in KEY:
        key.append(f'<rect x="{x}" y="{HEIGHT + 8}" width="16" height="9" style="fill:{colour}"/>')
        key.append(f'<text x="{x + 21}" y="{HEIGHT + 16}">{words}</text>')
        x += 48 + 5.4 * len(words)
    size = f'width="{WIDTH}" height="{HEIGHT + KEY_HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT + KEY_HEIGHT}"'
    back = '<rect width="100%" height="100%" style="fill:#fff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{back}{body}{"".join(key)}</svg>\n'


def main() -> None:
    """Replay, draw, and say what was found."""
    found = judged()
    PICTURE.write_text(svg(found), encoding="utf-8")
    for kind, event in zip(FAULTS, found.events, strict=True):
        print(kind, event.verdict, event.delay_samples)
    print(f"{len(found.history.episodes)} alerts, {found.false.count(True)} false")


if __name__ == "__main__":
    main()
