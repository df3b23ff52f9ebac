import re

import yaml

from tests.deploy.tools import DEPLOY, ROOT
from tests.structure.test_links import anchors

TEXT = (ROOT / "docs" / "deployment.md").read_text()
RUNBOOK = ROOT / "docs" / "runbook.md"
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]


def test_every_alert_has_a_section_in_the_runbook() -> None:
    section = r"^### (\w+)\n\n\*\*(\w+)\.\*\* (?:.+\n)+\n- \*\*Look at\*\* "
    sections = re.findall(section, RUNBOOK.read_text(), re.MULTILINE)
    assert sections == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES if "alert" in rule]


def test_every_alert_points_to_its_section() -> None:
    for rule in RULES:
        if "alert" in rule:
            page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            assert (page, anchor) == (RUNBOOK.relative_to(ROOT).as_posix(), rule["alert"].lower())
            assert anchor in anchors(RUNBOOK)


def test_metrics_named_in_the_runbook_exist() -> None:
    known = set(re.findall(r"^\| `(detector_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    known |= {rule["record"] for rule in RULES if "record" in rule}
    named = set(re.findall(r"\b(?:\w+:)?detector_[\w:]+\w", RUNBOOK.read_text()))
    assert named
    assert named <= known


def test_named_files_exist() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", TEXT))
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
