import json
import subprocess
import sys

from tests.guarantees.flood import LIMIT, NEWCOMERS, STREAMS
from tests.structure.source import ROOT

NAMES = 1_000_000


def test_g10_flood_of_a_million_names_changes_no_alert_and_bounds_memory() -> None:
    command = [sys.executable, "-m", "tests.guarantees.flood", str(NAMES)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    found = json.loads(ran.stdout)
    quiet, flooded = found["without"], found["with"]
    print(f"CPU time a sample, us: {flooded['us_per_sample']}, without the flood {quiet['us_per_sample']}")
    assert len(quiet["alerts"]) > 50
    assert flooded["alerts"] == quiet["alerts"]
    assert flooded["outcomes"]["STREAM_LIMIT"] > 0.99 * NAMES
    assert flooded["kept"]["s"] == STREAMS
    assert flooded["kept"]["new"] == NEWCOMERS, "streams that come again get a place, also in the midst of the flood"
    assert flooded["evicted"] > 0
    assert sum(flooded["kept"].values()) <= LIMIT
