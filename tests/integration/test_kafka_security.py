"""A broker that requires authentication and denies by default: sufficient rights, errors, secrets in output."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its names are exported, only not in its types
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.errors import AccessDenied, BrokerUnreachable, SourceError
from detector.protocols import Message
from detector.sinks.kafka import KafkaSink
from detector.sources.kafka import KafkaSource
from tests.integration.daemon import Daemon
from tests.integration.driving import once_answered, read, values
from tests.integration.test_admin import Setting
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import PATIENCE_SECONDS, eventually, patiently

pytestmark = pytest.mark.integration

ADMIN = {"sasl.mechanism": "PLAIN", "sasl.username": "admin", "sasl.password": "admin-secret"}
LOGIN = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    'username="admin" password="admin-secret" user_admin="admin-secret" user_detector="right";'
)
CANARY = "canary-7f3a91"


@pytest.fixture(scope="module")
def secured(make_module_cluster: Callable[..., Cluster]) -> Cluster:
    """`detector` may do what tests allow, for topics and groups of their own; `watcher`, whose password is the canary,
    may do everything.
    """
    return make_module_cluster(
        client_protocol="SASL_PLAINTEXT",
        client_options={"security.protocol": "SASL_PLAINTEXT", **ADMIN},
        properties={
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": LOGIN.replace(";", f' user_watcher="{CANARY}";'),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:watcher;User:ANONYMOUS",  # controllers speak without a login
        },
    )


@pytest.fixture
def passwords(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "right").write_text("right\n")
    (tmp_path / "wrong").write_text("w-r-o-n-g")
    return {name: str(tmp_path / name) for name in ("right", "wrong", "missing")}


def connection(cluster: Any, password_file: str) -> Kafka:
    return Kafka(
        bootstrap_servers=cluster.bootstrap.split(","),
        request_timeout_seconds=8,
        allow_plaintext_credentials=True,
        sasl={"mechanism": "PLAIN", "username": "detector", "password_file": password_file},
    )


def allow(cluster: Any, kind: Any, name: str, operation: Any) -> None:
    rule = AclBinding(kind, name, ResourcePatternType.LITERAL, "User:detector", "*", operation, AclPermissionType.ALLOW)
    admin = cluster.endpoint.admin
    patiently(lambda: admin.create_acls([rule])[rule], "the rule is written")
    wanted = AclBindingFilter(
        kind, name, ResourcePatternType.LITERAL, "User:detector", "*", operation, AclPermissionType.ALLOW
    )
    # The answer comes when the rule is written; it holds when the broker has read it back.
    eventually(lambda: bool(patiently(lambda: admin.describe_acls(wanted), "rules are told")), "the rule holds")


def refusal(kafka: Kafka, section: Section, words: str) -> SourceError | None:
    """What the source says, once these words are in it: a slow broker may not answer at first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        said = attempt(kafka, section, deadline)
        if words in str(said) or not isinstance(said, BrokerUnreachable) or time.monotonic() > deadline:
            return said


def attempt(kafka: Kafka, section: Section, deadline: float) -> SourceError | None:
    """What the source says when it starts and polls, or None where it says nothing until then."""
    source = None
    try:
        source = KafkaSource(kafka, section)
        while time.monotonic() < deadline:
            source.poll(0.1)
            source.resume(source.changes().assigned)
        return None
    except SourceError as exc:
        return exc
    finally:
        if source is not None:
            source.close(timeout_seconds=2)


def test_s2_every_missing_right_is_named_and_the_minimal_rights_suffice(
    secured, passwords: dict[str, str], caplog: pytest.LogCaptureFixture
):
    topic, out = secured.endpoint.create_topic(), secured.endpoint.create_topic()
    secured.endpoint.produce(topic, [b"a"])
    group = secured.endpoint.name("group")
    section = Section(topics=[topic], group_id=group, start="earliest")
    kafka = connection(secured, passwords["right"])

    wrong = refusal(connection(secured, passwords["wrong"]), section, "uthentication")
    assert isinstance(wrong, AccessDenied)
    assert "detector" in str(wrong)
    assert "uthentication" in str(wrong), "whether it hangs up or says why"
    assert "w-r-o-n-g" not in str(wrong) + caplog.text
    unreadable = refusal(connection(secured, passwords["missing"]), section, "password_file")
    assert isinstance(unreadable, AccessDenied)
    assert "password_file" in str(unreadable)
    anonymous = Kafka(bootstrap_servers=secured.bootstrap.split(","), request_timeout_seconds=3)
    no_login = refusal(anonymous, section, "may expect")
    assert isinstance(no_login, BrokerUnreachable)
    assert "may expect kafka.tls or kafka.sasl" in str(no_login)

    no_describe = refusal(kafka, section, "DESCRIBE")
    assert "may not DESCRIBE it" in str(no_describe)
    allow(secured, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    no_group = refusal(kafka, section, "the group")
    assert isinstance(no_group, AccessDenied)
    assert "READ on the group" in str(no_group)
    allow(secured, ResourceType.GROUP, group, AclOperation.READ)
    no_read = refusal(kafka, section, "READ")
    assert isinstance(no_read, AccessDenied)
    with pytest.raises(AccessDenied, match="WRITE and DESCRIBE"):
        once_answered(lambda: KafkaSink(kafka, out))

    allow(secured, ResourceType.TOPIC, topic, AclOperation.READ)
    allow(secured, ResourceType.TOPIC, out, AclOperation.WRITE)
    source, sink = once_answered(lambda: KafkaSource(kafka, section)), once_answered(lambda: KafkaSink(kafka, out))
    assert values(once_answered(lambda: read(source, 1))) == [b"a"]
    once_answered(lambda: source.commit({(topic, 0): 1}))
    sink.send(Message(None, b"b"))
    sink.flush(timeout_seconds=PATIENCE_SECONDS)
    source.close(timeout_seconds=2)
    sink.close(timeout_seconds=2)


def rights_in_the_docs() -> dict[str, list[Any]]:
    """What docs/deployment.md says that a worker needs: the first name in a row's first cell -> operations."""
    page = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
    section = page.split("### Kafka rights")[1].split("\n## ")[0]
    rows = re.findall(r"^\| \w+ `([^`]+)`[^|]*\| ([^|]+) \|", section, re.MULTILINE)
    return {name: [AclOperation[right.strip()] for right in rights.split(",")] for name, rights in rows}


@pytest.mark.parametrize("partitioning", ["trusted", "repartition"])
def test_s2_worker_works_with_exactly_the_documented_rights(
    secured, passwords: dict[str, str], tmp_path: Path, partitioning: str
):
    endpoint = secured.endpoint
    metrics, alerts, dead, internal = (endpoint.create_topic() for _ in range(4))
    state, group = endpoint.create_topic(cleanup_policy="compact"), endpoint.name("watchers")
    named = {
        "source.kafka.topics": (ResourceType.TOPIC, metrics),
        "source.kafka.group_id": (ResourceType.GROUP, group),
        "sinks.kafka.topic": (ResourceType.TOPIC, alerts),
        "dead_letter.topic": (ResourceType.TOPIC, dead),
        "state.kafka.topic": (ResourceType.TOPIC, state),
    }
    if partitioning == "repartition":
        named["source.kafka.repartition_topic"] = (ResourceType.TOPIC, internal)
        named["GROUP-router"] = (ResourceType.GROUP, f"{group}-router")
    rights = rights_in_the_docs()
    for name, resource in named.items():
        for operation in rights[name]:
            allow(secured, *resource, operation)
    config = {
        "kafka": connection(secured, passwords["right"]).model_dump(mode="json"),
        "source": {
            "kafka": {
                "topics": [metrics],
                "group_id": group,
                "start": "earliest",
                "partitioning": partitioning,
                "repartition_topic": internal,
            }
        },
        "sinks": {"kafka": {"topic": alerts}},
        "state": {"type": "kafka", "kafka": {"topic": state}},
        "dead_letter": {"topic": dead},
        "checkpoint": {"interval_seconds": 0.5},
    }
    levels = [100 + minute % 7 for minute in range(250)] + [10_000] * 10
    samples = [{"name": "m", "timestamp": 1_700_000_000 + 60 * minute, "value": v} for minute, v in enumerate(levels)]
    endpoint.produce(metrics, [(b"k", b"{poison"), *((b"k", json.dumps(sample).encode()) for sample in samples)])
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: endpoint.end_offset(dead) == 1, "the poison is dead-lettered")
        eventually(lambda: endpoint.end_offset(alerts) >= 1, "an alert is delivered")
        eventually(lambda: endpoint.end_offset(state) >= 2, "a snapshot is stored")
        assert daemon.terminate() == 0


def test_s2_init_names_the_missing_right(secured: Cluster, tmp_path: Path) -> None:
    (tmp_path / "right").write_text("right\n")
    setting = Setting(secured.endpoint, tmp_path)
    setting.settings["source"]["type"] = "host"
    setting.settings["kafka"] |= {
        "allow_plaintext_credentials": True,
        "sasl": {"mechanism": "PLAIN", "username": "detector", "password_file": str(tmp_path / "right")},
    }
    for arguments in (["--dry-run"], []):
        result = setting.init(*arguments)
        assert isinstance(result.exception, AccessDenied)
        assert "does not authorize detector; grant" in str(result.exception)
    setting.settings["kafka"]["sasl"]["username"] = "admin"
    (tmp_path / "right").write_text("admin-secret")
    assert setting.init().exit_code == 0


def test_s3_pitfall_11_password_appears_in_no_output_at_debug_level(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cluster, endpoint = secured, secured.endpoint
    monkeypatch.setenv("DETECTOR_TEST_SECRET", CANARY)
    metrics, dead, alerts, state = (endpoint.create_topic(cleanup_policy="compact") for _ in range(4))
    config = {
        "kafka": {
            "bootstrap_servers": [cluster.bootstrap],
            "allow_plaintext_credentials": True,
            "sasl": {"mechanism": "PLAIN", "username": "watcher", "password_env": "DETECTOR_TEST_SECRET"},
        },
        "source": {"kafka": {"topics": [metrics], "start": "earliest"}},
        "sinks": {"kafka": {"topic": alerts}},
        "state": {"type": "kafka", "kafka": {"topic": state}},
        "dead_letter": {"topic": dead},
        "checkpoint": {"interval_seconds": 0.2, "shutdown_timeout_seconds": 3.0},
        "telemetry": {"log_level": "debug"},
    }
    endpoint.produce(metrics, [(b"k", b"{poison"), (b"k", b'{"name":"m","value":1}')])
    with Daemon(tmp_path, config) as daemon:
        eventually(lambda: endpoint.end_offset(dead) == 1, "the poison is dead-lettered")
        emitted = [str((m.key(), m.value(), m.headers())) for m in endpoint.read(dead, 1)]
        emitted += [daemon.get(path)[1] for path in ("/metrics", "/-/ready", "/-/healthy", "/config", "/debug")]
        cluster.brokers[0].kill()  # errors, with whatever they quote
        time.sleep(2.0)
        daemon.terminate()
        emitted.append(daemon.log.read_text())
    check = [sys.executable, "-m", "detector", "check-config", "-c", str(tmp_path / "config.yaml")]
    done = subprocess.run(check, capture_output=True, text=True, check=True)
    emitted += [done.stdout, done.stderr]
    cluster.brokers[0].restart()
    emitted.append(wrong_password(config, tmp_path))
    assert any('"level": "info"' in text for text in emitted), "the log was looked at"
    assert any("poison" in text for text in emitted), "so were the dead letters"
    assert not [text[:200] for text in emitted if CANARY in text]


def wrong_password(config: dict[str, Any], folder: Path) -> str:
    """What a daemon says whose login is refused; its password has the canary in it, too."""
    (folder / "wrong-secret").write_text(f"not-{CANARY}")
    sasl = {"mechanism": "PLAIN", "username": "watcher", "password_file": str(folder / "wrong-secret")}
    kafka = {**config["kafka"], "sasl": sasl, "request_timeout_seconds": 3.0}
    place = folder / "wrong"
    place.mkdir()
    with Daemon(place, {**config, "kafka": kafka}) as daemon:
        assert daemon.process.wait(PATIENCE_SECONDS) == 1
        return daemon.log.read_text()
