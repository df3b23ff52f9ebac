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


def test_kustomization_names_every_file_and_no_other() -> None:
    generated = [name for entry in KUSTOMIZATION["configMapGenerator"] for name in entry["files"]]
    named = {"kustomization.yaml", *KUSTOMIZATION["resources"], *generated}
    assert named == {path.name for path in FOLDER.iterdir()}


def test_yaml_is_well_formed() -> None:
    check(SCRIPTS / "yamllint", "--strict", "-c", DEPLOY / ".yamllint.yaml", DEPLOY, "config.yaml")


def test_manifests_follow_the_schema_of_kubernetes() -> None:
    check(SCRIPTS / "kubernetes-validate", "--strict", *(FOLDER / name for name in MANIFESTS))


def test_the_schema_would_find_something() -> None:
    text = (FOLDER / "service.yaml").read_text().replace("clusterIP", "clusterIp")
    with pytest.raises(AssertionError, match="clusterIp"):
        check(SCRIPTS / "kubernetes-validate", "--strict", "/dev/stdin", stdin=text)


def test_the_configuration_is_read_by_the_daemon() -> None:
    config = load(CONFIG)
    assert config.telemetry.listen.startswith("0.0.0.0:")


def test_the_configuration_holds_only_what_differs_from_the_defaults_or_must_be_chosen() -> None:
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


def test_selectors_meet_the_labels_of_the_pods() -> None:
    assert MANIFESTS["statefulset.yaml"]["spec"]["template"]["metadata"]["labels"] == LABELS
    assert MANIFESTS["statefulset.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["service.yaml"]["spec"]["selector"] == LABELS
    assert MANIFESTS["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["networkpolicy.yaml"]["spec"]["podSelector"]["matchLabels"] == LABELS


def test_ports_and_probes_meet_the_telemetry_server() -> None:
    port = int(load(CONFIG).telemetry.listen.rpartition(":")[2])
    (container,) = pod()["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/-/ready", "readinessProbe": "/-/ready", "livenessProbe": "/-/healthy"}


def test_the_pod_is_restricted() -> None:
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod()["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_the_last_checkpoint_has_time() -> None:
    assert pod()["terminationGracePeriodSeconds"] > load(CONFIG).checkpoint.shutdown_timeout_seconds


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
