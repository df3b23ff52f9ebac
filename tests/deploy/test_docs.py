import re

import yaml

from tests.deploy.tools import DEPLOY, ROOT

TEXT = (ROOT / "docs" / "deployment.md").read_text()


def test_every_alert_has_an_advice() -> None:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    advice = re.findall(r"^\| (Detector\w+) \| (\w+) \|", TEXT, re.MULTILINE)
    assert advice == [(rule["alert"], rule["labels"]["severity"]) for rule in rules]


def test_files_that_are_named_exist() -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]+\w", TEXT))
    assert named
    for name in named:
        assert (ROOT / name).exists(), name
