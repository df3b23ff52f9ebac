import contextlib
import errno
import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from detector.config import Config
from detector.config.telemetry import Telemetry
from detector.errors import ConfigError
from detector.telemetry import Health, Metrics, TelemetryServer, new_registry
from detector.telemetry.server import CLIENT_TIMEOUT_SECONDS, MAX_CONNECTIONS
from tests.stopwatch import Stopwatch
from tests.telemetry.populate import populate


class Site:
    """A started server and a client for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.health = Health(30.0, lambda: self.now)
        self.metrics = Metrics(new_registry())
        populate(self.metrics)
        self.server = TelemetryServer(Telemetry(listen="127.0.0.1:0"), self.metrics.registry, self.health)
        self.server.start()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.close()


def test_metrics_are_served_in_the_text_format(site: Site) -> None:
    response, body = site.ask("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "detector_samples_consumed" in {family.name for family in parse_text(body.decode())}


def test_metrics_are_served_as_openmetrics_and_compressed(site: Site) -> None:
    response, body = site.ask(
        "/metrics", Accept="application/openmetrics-text;version=1.0.0", Accept_Encoding="deflate, gzip"
    )
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.headers["Content-Encoding"] == "gzip"
    parsed = parse_openmetrics(gzip.decompress(body).decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families["detector_anomaly_score"].type == "histogram"


@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
@pytest.mark.parametrize("version", ["", "abc", "1.x", "9.9.9;escaping=none", "1.0.0.0;;=;"])
def test_malformed_accept_header_gets_an_answer(site: Site, kind: str, version: str) -> None:
    response, body = site.ask("/metrics", Accept=f"{kind};version={version}")
    assert response.status == 200
    assert b"detector_samples_consumed" in body


def test_ready_names_what_it_waits_for(site: Site) -> None:
    site.health.set_not_ready("restoring 3 partitions")
    response, body = site.ask("/-/ready")
    assert (response.status, body) == (503, b"not ready: restoring 3 partitions\n")
    site.health.set_ready()
    response, body = site.ask("/-/ready")
    assert (response.status, body) == (200, b"ready\n")


def test_healthy_while_the_loop_turns_whether_ready_or_not(site: Site) -> None:
    assert site.ask("/-/healthy")[0].status == 200
    site.now = 31.0
    response, body = site.ask("/-/healthy")
    assert response.status == 503
    assert b"no progress for 31 s" in body
    site.health.progress()
    assert site.ask("/-/healthy")[0].status == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metricsx", "/-/", "/debug/pprof", "/%6detrics"])
def test_s5_other_paths_are_404(site: Site, path: str) -> None:
    response, body = site.ask(path)
    assert (response.status, body) == (
        404,
        b"404 Not Found; there are /metrics, /-/healthy, /-/ready\n",
    )


def test_query_string_is_ignored(site: Site) -> None:
    assert site.ask("/metrics?x=1")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_and_head_are_allowed(site: Site, method: str) -> None:
    response, _ = site.ask("/metrics", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_length_and_no_body(site: Site) -> None:
    response, body = site.ask("/metrics", "HEAD")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) > 1_000
    assert body == b""


def test_answer_does_not_reveal_the_python_version(site: Site) -> None:
    assert site.ask("/metrics")[0].headers["Server"].strip() == "detector"


NOISE = [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"G" * 70_000, b"GET /metrics HTTP/9.9\r\n\r\n"]


@pytest.mark.parametrize("noise", NOISE, ids=["tls", "no path", "long", "version"])
def test_server_survives_malformed_requests(site: Site, noise: bytes) -> None:
    with socket.create_connection(site.server.address, timeout=60) as client, contextlib.suppress(ConnectionError):
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        client.recv(1_000)
    assert site.ask("/metrics")[0].status == 200


def test_s5_silent_and_slow_clients_block_no_other_and_use_bounded_threads(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = 12 * CLIENT_TIMEOUT_SECONDS  # no client leaves by itself while the test runs
    monkeypatch.setattr("detector.telemetry.server._Handler.timeout", patient)
    clients = [socket.create_connection(site.server.address, timeout=60) for _ in range(4 * MAX_CONNECTIONS)]
    try:
        for number, client in enumerate(clients):
            with contextlib.suppress(ConnectionError):  # already dropped in favour of a later one
                client.sendall(b"GET /metrics HTTP/1.1\r\nX: " if number % 2 else b"G")
        with Stopwatch() as watch:
            assert site.ask("/-/healthy")[0].status == 200
            # A dropped client's thread may take a moment to end.
            while [thread.name for thread in threading.enumerate()].count("telemetry-client") > MAX_CONNECTIONS:
                assert watch.seconds < patient / 2, "threads pile up"
                time.sleep(0.02)
        assert watch.seconds < patient / 2
    finally:
        for client in clients:
            client.close()


def test_s5_listens_on_loopback_by_default() -> None:
    assert Config().telemetry.listen.startswith("127.0.0.1:")


def test_start_and_close_are_idempotent(site: Site) -> None:
    address = site.server.address
    site.server.start()
    assert site.server.address == address
    site.server.close()
    site.server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=60)
    with pytest.raises(RuntimeError, match="not started"):
        _ = site.server.address


def test_closing_does_not_wait_for_slow_clients(site: Site) -> None:
    with socket.create_connection(site.server.address, timeout=60) as client:
        client.sendall(b"GET /met")
        time.sleep(0.3)
        with Stopwatch() as watch:
            site.server.close()
        assert watch.seconds < 1.5
        with contextlib.suppress(ConnectionError):  # reset, if the server had not read all that was sent
            assert client.recv(100) == b""


def test_address_in_use_is_a_named_error(site: Site) -> None:
    host, port = site.server.address
    second = TelemetryServer(Telemetry(listen=f"{host}:{port}"), site.metrics.registry, site.health)
    with pytest.raises(ConfigError, match=rf"telemetry\.listen(.|\n)*{port}: Address already in use"):
        second.start()
    second.close()


def test_foreign_host_is_a_named_error(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.listen"):
        TelemetryServer(Telemetry(listen="192.0.2.1:9464"), site.metrics.registry, site.health).start()


def test_listens_on_ipv6(site: Site) -> None:
    server = TelemetryServer(Telemetry(listen="[::1]:0"), site.metrics.registry, site.health)
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 1)) != errno.ECONNREFUSED:
            return  # a machine without IPv6
    server.start()
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        assert b"200" in client.recv(100)
    server.close()


def test_reason_cannot_forge_a_response(site: Site) -> None:
    site.health.set_not_ready(json.dumps("a\r\nSet-Cookie: x"))
    assert site.ask("/-/ready")[0].headers.get("Set-Cookie") is None


def test_next_client_is_answered_after_a_thread_could_not_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], site: Site
) -> None:
    start, failures = threading.Thread.start, iter(range(2 * MAX_CONNECTIONS))

    def fails_at_first(thread: threading.Thread) -> None:
        if thread.name == "telemetry-client" and next(failures, None) is not None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fails_at_first)
    for _ in range(2 * MAX_CONNECTIONS):
        with pytest.raises((http.client.HTTPException, OSError)):
            site.ask("/-/healthy")
    assert site.ask("/-/healthy")[0].status == 200
    assert capfd.readouterr() == ("", "")
