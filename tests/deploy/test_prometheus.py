"""promtool and a real Prometheus check the rules, a real scrape, and every query of the dashboard."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from prometheus_client import generate_latest

from detector.config.telemetry import Telemetry
from detector.telemetry import Health, Metrics, TelemetryServer, new_registry
from tests.deploy.tools import DEPLOY, ROOT, check
from tests.kafka.broker import free_ports
from tests.kafka.endpoint import eventually
from tests.telemetry.populate import populate

RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARD = DEPLOY / "grafana" / "detector.json"


class Prometheus:
    """A real Prometheus that scrapes one worker every second."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expr: str) -> list[Any]:
        result = self.ask("query", query=expr)["result"]
        assert isinstance(result, list)
        return result

    def answers(self, expr: str) -> None:
        """Ask until the query has a result: on a busy machine, a scrape may come too late."""
        eventually(lambda: bool(self.query(expr)), f"{expr} has an answer")


@contextmanager
def worker(web_config_file: str | None = None) -> Iterator[str]:
    """The address of a telemetry server whose metrics change."""
    metrics = Metrics(new_registry())
    health = Health(30.0, time.monotonic)
    metrics.watch(health)
    health.set_ready()
    server = TelemetryServer(Telemetry(listen="127.0.0.1:0", web_config_file=web_config_file), metrics.registry, health)
    server.start()
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            populate(metrics, now=time.time())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield "{}:{}".format(*server.address)
    finally:
        stop.set()
        thread.join()
        server.close()


@contextmanager
def prometheus(folder: Path, target: str, scraping: Mapping[str, Any] | None = None) -> Iterator[Prometheus]:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
    config["rule_files"] = [str(RULES)]
    config["scrape_configs"][0].update({**(scraping or {}), "static_configs": [{"targets": [target]}]})
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stderr=log, stdout=log)
    try:
        server = Prometheus(address)
        eventually(lambda: _scraped(server), f"Prometheus scrapes nothing; its log is {folder}/log")
        yield server
    finally:
        process.terminate()
        process.wait(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with worker() as target, prometheus(tmp_path_factory.mktemp("prometheus"), target) as started:
        yield started


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `detector run`, which watches this machine."""
    folder = tmp_path_factory.mktemp("daemon")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    config = {
        "source": {"type": "host", "host": {"interval_seconds": 0.2}},
        "sinks": {"kafka": {"enabled": False}, "stdout": {"enabled": True}},
        "scoring": {"warmup_samples": 10},
        "checkpoint": {"interval_seconds": 0.5},
        "telemetry": {"listen": address, "streams": {"match": ["host_proc*"]}},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "detector", "run", "-c", str(folder / "config.yaml")]
    with (folder / "log").open("w") as log, (folder / "alerts").open("w") as alerts:
        process = subprocess.Popen(command, cwd=ROOT, stdout=alerts, stderr=log)
    try:
        with prometheus(folder, address) as started:
            started.answers('detector_samples_total{outcome="scored"} > 0')
            yield started
    finally:
        process.terminate()
        assert process.wait(300) == 0, (folder / "log").read_text()


def _scraped(server: Prometheus) -> bool:
    try:
        return len(server.query("detector_samples_consumed_total[30s]")[0]["values"]) >= 5
    except (OSError, IndexError):
        return False


def dashboard_queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def rules() -> dict[str, str]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule.get("alert") or rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def as_grafana_asks(expr: str, stream: str = 'cpu{host="a"}') -> str:
    asked = expr.replace("$__rate_interval", "30s").replace("$job", ".+").replace("$instance", ".+")
    return asked.replace("${stream:doublequote}", json.dumps(stream))


def test_promtool_finds_nothing() -> None:
    check("promtool", "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "prometheus.yml")
    check("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_promtool_accepts_metric_names_and_units() -> None:
    metrics = Metrics(new_registry())
    populate(metrics)
    assert check("promtool", "check", "metrics", stdin=generate_latest(metrics.registry).decode()) == ""


@pytest.mark.parametrize("expr", sorted(set(dashboard_queries())))
def test_every_dashboard_query_has_a_result(server: Prometheus, expr: str) -> None:
    server.answers(as_grafana_asks(expr))


# Series that appear with the first lag, reject or failure, or with settings that this daemon does not have.
EVENTS = re.compile(
    "detector_(lag_records|records_rejected|source_errors|sink_failures|sink_alerts_waiting|alerts_muted|learning_)"
)


def test_every_dashboard_query_has_a_result_from_the_daemon(daemon: Prometheus) -> None:
    for expr in dashboard_queries():
        if not EVENTS.search(expr):
            daemon.answers(as_grafana_asks(expr, "host_processes"))


def test_g16_daemon_accounts_for_every_sample(daemon: Prometheus) -> None:
    # A batch may be under way at a scrape, though not at every one of them.
    gap = "min_over_time((detector_samples_consumed_total - sum without (outcome) (detector_samples_total))[10s:1s])"
    eventually(lambda: [found["value"][1] for found in daemon.query(gap)] == ["0"], "no sample vanishes")
    daemon.answers("detector_samples_consumed_total > 0")


def test_dashboard_has_queries() -> None:
    assert len(dashboard_queries()) > 30


@pytest.mark.parametrize("name", rules())
def test_every_rule_is_evaluated(server: Prometheus, name: str) -> None:
    expr = rules()[name]
    server.query(expr)
    if name.startswith(("instance:", "job:", "partition:")):
        server.answers(expr)


@pytest.mark.parametrize("name", rules())
def test_metrics_of_the_rules_exist(server: Prometheus, name: str) -> None:
    recorded = {rule for rule in rules() if ":" in rule}
    for metric in set(re.findall(r"[a-z:]*\bdetector_[a-z_:0-9]+|\bup\b", rules()[name])):
        if metric in recorded:
            continue
        server.answers(metric)


def test_prometheus_evaluates_the_rules_without_errors(server: Prometheus) -> None:
    def evaluated() -> bool:
        found = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
        return len(found) == len(rules()) and all(rule["health"] == "ok" for rule in found)

    eventually(evaluated, "every rule is evaluated well")


def test_s5_prometheus_scrapes_with_certificates_and_a_password(identities: Path, tmp_path: Path) -> None:
    """Prometheus reads the same web configuration file as we do."""
    tls = {"cert_file": "ours.pem", "key_file": "ours.key", "client_auth_type": "RequireAndVerifyClientCert"}
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode("ascii")
    web = {
        "tls_server_config": {**tls, "client_ca_file": "theirs.pem", "min_version": "TLS13"},
        "http_server_config": {"headers": {"X-Content-Type-Options": "nosniff"}},
        "basic_auth_users": {"prometheus": hashed},
    }
    path = identities / "web.yml"
    path.write_text(yaml.safe_dump(web))
    check("promtool", "check", "web-config", path)
    certificates = {"ca_file": "ours.pem", "cert_file": "theirs.pem", "key_file": "theirs.key"}
    scraping = {
        "scheme": "https",
        "tls_config": {key: str(identities / name) for key, name in certificates.items()},
        "basic_auth": {"username": "prometheus", "password": "secret"},
    }
    with worker(str(path)) as target, prometheus(tmp_path, target, scraping) as server:
        server.answers("up == 1")
        server.answers("detector_samples_consumed_total")


def test_labels_of_dashboard_variables_exist(server: Prometheus) -> None:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", str(variable["query"]))
        if found:
            server.answers(f"count by ({found[2]}) ({as_grafana_asks(found[1])})")
