from typing import Any

import pytest
import yaml

from detector.config import Config, load
from tests.deploy.tools import DEPLOY, SCRIPTS, check

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS = {name: yaml.safe_load((FOLDER / name).read_text()) for name in KUSTOMIZATION["resources"]}
CONFIG = FOLDER / "config.yaml"
LABELS = {"app.kubernetes.io/name": "detector"}


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = MANIFESTS["statefulset.yaml"]["spec"]["template"]["spec"]
    return spec


def test_kustomization_lists_exactly_the_files() -> None:
    generated = [name for entry in KUSTOMIZATION["configMapGenerator"] for name in entry["files"]]
    named = {"kustomization.yaml", *KUSTOMIZATION["resources"], *generated}
    assert named == {path.name for path in FOLDER.iterdir()}


def test_yamllint_finds_nothing() -> None:
    check(SCRIPTS / "yamllint", "--strict", "-c", DEPLOY / ".yamllint.yaml", DEPLOY, "config.yaml")


def test_manifests_follow_the_schema_of_kubernetes() -> None:
    check(SCRIPTS / "kubernetes-validate", "--strict", *(FOLDER / name for name in MANIFESTS))


def test_schema_check_finds_a_fault() -> None:
    text = (FOLDER / "service.yaml").read_text().replace("clusterIP", "clusterIp")
    with pytest.raises(AssertionError, match="clusterIp"):
        check(SCRIPTS / "kubernetes-validate", "--strict", "/dev/stdin", stdin=text)


def test_configuration_is_valid() -> None:
    config = load(CONFIG)
    assert config.telemetry.listen.startswith("0.0.0.0:")


def test_configuration_holds_only_values_that_differ_from_defaults_or_must_be_chosen() -> None:
    chosen = {
        "kafka.bootstrap_servers",
        "source.kafka.topics",
        "source.kafka.group_id",
        "sinks.kafka.topic",
        "state.kafka.topic",
    }
    written = _leaves(yaml.safe_load(CONFIG.read_text()))
    defaults = _leaves(Config().model_dump(by_alias=True))
    assert {key for key, value in written.items() if defaults[key] == value} <= chosen


def test_selectors_match_the_labels_of_the_pods() -> None:
    assert MANIFESTS["statefulset.yaml"]["spec"]["template"]["metadata"]["labels"] == LABELS
    assert MANIFESTS["statefulset.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["service.yaml"]["spec"]["selector"] == LABELS
    assert MANIFESTS["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"] == LABELS


def test_ports_and_probes_match_the_telemetry_server() -> None:
    port = int(load(CONFIG).telemetry.listen.rpartition(":")[2])
    (container,) = pod()["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/-/ready", "readinessProbe": "/-/ready", "livenessProbe": "/-/healthy"}


def test_pod_is_restricted() -> None:
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod()["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_grace_period_exceeds_the_shutdown_timeout() -> None:
    assert pod()["terminationGracePeriodSeconds"] > load(CONFIG).checkpoint.shutdown_timeout_seconds


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
