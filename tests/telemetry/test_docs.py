import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from detector.records import Outcome
from detector.telemetry import Metrics, new_registry
from tests.telemetry.populate import populate

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
# Read for the exposition only.
GENERATED = {"le"}


def exported() -> CollectorRegistry:
    metrics = Metrics(new_registry())
    populate(metrics)
    return metrics.registry


def test_documented_table_has_every_metric_with_type_and_labels() -> None:
    suffixes = {"counter": "_total", "info": "_info"}
    found = {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            set() if family.type == "info" else {label for sample in family.samples for label in sample.labels},
        )
        for family in exported().collect()
        if family.name.startswith("detector_")
    }
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in ROW.findall(TEXT)}
    assert documented == {name: (kind, labels - GENERATED) for name, (kind, labels) in found.items()}


def test_documented_process_metrics_exist() -> None:
    theirs = {family.name for family in exported().collect() if not family.name.startswith("detector_")}
    documented = {name.removesuffix("_total") for name in re.findall(r"`((?:process|python)_\w+)`", TEXT)}
    assert documented == theirs


def test_documented_label_values_are_complete() -> None:
    rows = {name: meaning for name, _, _, meaning in ROW.findall(TEXT)}
    free = {"topic", "partition", "sink", "le", "level", "stream", "fingerprint"}
    for family in exported().collect():
        if not family.name.startswith("detector_") or family.type == "info":
            continue
        bounded = family.name.removeprefix("detector_") not in (
            "records_rejected",
            "records_skipped",
            "source_errors",
        )
        for sample in family.samples:
            for label, word in sample.labels.items():
                if bounded and label not in free:
                    assert f"`{word}`" in rows[family.name + ("_total" if family.type == "counter" else "")], word
    for outcome in Outcome:
        assert (
            f"`{outcome.name.lower()}`"
            in rows["detector_samples_discarded_total" if outcome.is_discard else "detector_samples_total"]
        )
