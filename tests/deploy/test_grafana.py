import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import DEPLOY

FOLDER = DEPLOY / "grafana"
DASHBOARD = FOLDER / "detector.json"


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


# Every Grafana in use reads the classic dashboard; the library warns that a new format exists.
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_dashboard_equals_the_output_of_its_generator() -> None:
    made = runpy.run_path(str(FOLDER / "build.py"))["build"]()
    assert made == DASHBOARD.read_text(), "run python deploy/grafana/build.py"


def test_panels_have_distinct_ids_and_places_and_a_description() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["type"] == "row" or panel["description"], panel["title"]
        place = panel["gridPos"]
        assert isinstance(place, dict)
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_axes_begin_at_zero_only_where_no_value_is_negative() -> None:
    series = [panel for panel in _by_type("timeseries") if "min" not in panel["fieldConfig"]["defaults"]]
    assert [panel["title"] for panel in series] == ["Value of $stream", "Loss"]


def test_provisioning_has_the_known_version() -> None:
    files = sorted((FOLDER / "provisioning").rglob("*.yaml"))
    assert [path.parent.name for path in files] == ["dashboards", "datasources"]
    for path in files:
        assert _read(path)["apiVersion"] == 1
    (source,) = _read(files[1])["datasources"]
    assert source["type"] == "prometheus"


def _by_type(kind: str) -> list[dict[str, Any]]:
    return [panel for panel in panels() if panel["type"] == kind]


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found
