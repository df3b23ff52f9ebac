"""The webhook sink with receivers that fail, hang, reject, cut off and redirect."""

from __future__ import annotations

import csv
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from detector.alerts import AlertRecord
from detector.cli.commands import app
from detector.config.webhook import Webhook
from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.webhook import WebhookSink
from detector.testing import ManualClock
from tests.kafka.broker import free_ports
from tests.kafka.endpoint import eventually
from tests.sinks.alertmanagers import firing, resolved
from tests.sinks.receivers import Failures, Receiver, events, identity

ENCODE = AlertRecord({}, "test")
PATIENCE_SECONDS = 300.0
SECRET_PATH = "/services/T0C4NARY/B0C4NARY?token=c4nary"
Make = Callable[..., WebhookSink]


class Hook(Receiver):
    """A receiver that parses the body of Alertmanager's webhook."""

    @property
    def hosts(self) -> list[list[str]]:
        """The hosts of the alerts in each request."""
        return [hosts_of(body) for body in self.bodies]


def hosts_of(body: bytes) -> list[str]:
    return [one["labels"]["host"] for one in json.loads(body)["alerts"]]


@pytest.fixture
def sink(failures: Failures) -> Iterator[Make]:
    """Sinks that are closed at the end of the test."""
    with ExitStack() as stack:

        def make(url: str | None = None, **section: Any) -> WebhookSink:
            settings = {
                "enabled": True,
                "url": url,
                "timeout_seconds": 60.0,
                "delivery_timeout_seconds": PATIENCE_SECONDS,
                **section,
            }
            made = WebhookSink(Webhook.model_validate(settings), failures, first_retry_seconds=0.02)
            stack.callback(made.close, 3.0)
            return made

        yield make


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as started:
        yield started


def send(made: WebhookSink, *hosts: str) -> None:
    for host in hosts:
        made.send(ENCODE(firing(host)))


def warm(made: WebhookSink) -> None:
    """Send until the pace has grown for a fast receiver."""
    for number in range(8):
        for again in range(2**number):
            send(made, f"warm-{number}-{again}")
        made.flush(PATIENCE_SECONDS)


def fails(made: WebhookSink) -> str:
    """The error with which the sink gives up."""
    with pytest.raises(DeliveryError) as raised:
        made.flush(PATIENCE_SECONDS)
    assert not raised.value.retriable
    return str(raised.value)


@contextmanager
def in_the_background(act: Callable[[], None]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(PATIENCE_SECONDS)


def test_g2_flushed_alerts_were_received_in_order_and_byte_for_byte(sink: Make, hook: Hook) -> None:
    made = sink(f"{hook.url}/hook?a=b")
    messages = [ENCODE(one) for host in "abcd" for one in (firing(host), resolved(host))]
    for message in messages:
        made.send(message)
    made.flush(PATIENCE_SECONDS)
    assert made.in_flight == 0
    assert set(hook.paths) == {"/hook?a=b"}
    assert [host for hosts in hook.hosts for host in hosts] == list("aabbccdd")
    received = b"".join(hook.bodies)
    assert all(message.value and message.value[:-1] in received for message in messages)


def test_message_without_a_value_is_not_posted(sink: Make, hook: Hook) -> None:
    made = sink(hook.url)
    made.send(Message(b"key", None))
    made.flush(PATIENCE_SECONDS)
    assert hook.bodies == []


def test_requests_hold_several_alerts_up_to_the_limit(sink: Make, hook: Hook) -> None:
    made = sink(hook.url, max_alerts_per_request=10)
    warm(made)
    before = len(hook.bodies)
    hook.hold.clear()
    send(made, *(f"host-{number}" for number in range(35)))
    hook.hold.set()
    made.flush(PATIENCE_SECONDS)
    sizes = [len(hosts) for hosts in hook.hosts[before:]]
    assert max(sizes) == 10
    assert sum(sizes) == 35
    assert len(sizes) <= 5
    assert all(json.loads(body)["groupKey"] == "{}:{}" for body in hook.bodies)


def test_with_one_alert_a_request_each_is_a_group_of_its_own(sink: Make, hook: Hook) -> None:
    made = sink(hook.url, max_alerts_per_request=1)
    send(made, "a", "b", "a")
    made.flush(PATIENCE_SECONDS)
    keys = [json.loads(body)["groupKey"] for body in hook.bodies]
    assert hook.hosts == [["a"], ["b"], ["a"]]
    assert keys[0] == keys[2] != keys[1]


def test_g11_worker_waits_for_a_silent_receiver_and_memory_does_not_grow(sink: Make, hook: Hook) -> None:
    made = sink(hook.url, max_in_flight=20)
    warm(made)
    hook.hold.clear()
    handed_over: list[str] = []

    def send_many() -> None:
        for number in range(100):
            send(made, f"host-{number}")
            handed_over.append(f"host-{number}")

    with in_the_background(send_many) as thread:
        eventually(lambda: len(handed_over) == 20, "as many are handed over as may wait")
        time.sleep(0.3)
        assert (len(handed_over), made.in_flight, thread.is_alive()) == (20, 20, True)
        hook.hold.set()
    made.flush(PATIENCE_SECONDS)
    received = [host for hosts in hook.hosts for host in hosts if host.startswith("host")]
    assert received == handed_over == [f"host-{number}" for number in range(100)]


def test_g11_slow_receiver_gets_small_requests_and_no_flush_fails(sink: Make, hook: Hook, failures: Failures) -> None:
    """Sixty alerts in one request would exceed its timeout."""

    def slowly(body: bytes) -> tuple[int, bytes]:
        time.sleep(0.05 * len(hosts_of(body)))
        return 200, b""

    hook.answer = slowly
    made = sink(hook.url, timeout_seconds=2.5, delivery_timeout_seconds=8.0)
    for round_ in range(2):
        send(made, *(f"{round_}-{number}" for number in range(60)))
        made.flush(30.0)
    assert 1 < max(map(len, hook.hosts)) < 50
    assert failures.count == 0


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_g2_temporary_failures_are_retried(sink: Make, hook: Hook, failures: Failures, status: int) -> None:
    hook.answer = lambda body: (status if len(hook.bodies) <= 3 else 202, b"not now")
    made = sink(hook.url)
    send(made, "a", "b")
    made.flush(PATIENCE_SECONDS)
    assert hook.hosts[:4] == [["a"]] * 4
    assert failures.count == 3
    assert len({bytes(body) for body in hook.bodies[:4]}) == 1


def test_retries_pause_longer_and_the_log_names_the_fault(
    sink: Make, hook: Hook, failures: Failures, lines: io.StringIO
) -> None:
    hook.answer = lambda body: (503 if len(hook.bodies) <= 4 else 200, b"no disk\nleft")
    made = sink(hook.url + SECRET_PATH)
    send(made, "a")
    made.flush(PATIENCE_SECONDS)
    told = [line for line in events(lines) if line["event"] == "the webhook does not accept alerts, trying again"]
    assert [line["retry_seconds"] for line in told] == [0.0, 0.0, 0.1, 0.2]
    assert told[0]["error"] == f"{hook.url}: answered 503 (no disk)"
    assert told[0]["waiting"] == 1
    eventually(lambda: "the webhook accepts alerts again" in lines.getvalue(), "it says so")


def test_g2_receiver_gets_every_alert_after_an_outage(sink: Make, failures: Failures, lines: io.StringIO) -> None:
    port = free_ports(1)[0]
    made = sink(f"http://127.0.0.1:{port}")
    send(made, "a")
    eventually(lambda: failures.count >= 2, "it tries again")
    (first, *_) = events(lines)
    assert f"http://127.0.0.1:{port}: no answer (ConnectionRefusedError: " in first["error"]
    assert "check sinks.webhook.url or url_file and that the receiver listens there" in first["error"]
    with Hook(port=port) as hook:
        send(made, "b")
        made.flush(PATIENCE_SECONDS)
        assert [host for hosts in hook.hosts for host in hosts] == ["a", "b"]


def test_g2_alert_is_posted_again_after_a_closed_connection(sink: Make, hook: Hook, failures: Failures) -> None:
    hook.answer = lambda body: None if len(hook.bodies) == 1 else (200, b"")
    made = sink(hook.url)
    send(made, "a")
    made.flush(PATIENCE_SECONDS)
    assert hook.hosts == [["a"], ["a"]]
    assert failures.count == 1


def test_g2_alert_is_posted_again_after_a_timeout(sink: Make, hook: Hook, failures: Failures) -> None:
    hook.hold.clear()
    made = sink(hook.url, timeout_seconds=0.3)
    send(made, "a")
    eventually(lambda: failures.count >= 1, "its silence is a failure")
    hook.hold.set()
    made.flush(PATIENCE_SECONDS)
    assert set(map(tuple, hook.hosts)) == {("a",)}


@pytest.mark.parametrize("header", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_status_2xx_counts_although_the_body_never_comes(sink: Make, failures: Failures, header: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections = []

        def answer() -> None:
            connection, _ = server.accept()
            connections.append(connection)
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")

        with in_the_background(answer):
            made = sink(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_seconds=PATIENCE_SECONDS)
            send(made, "a")
            made.flush(PATIENCE_SECONDS)
        assert failures.count == 0
        connections[0].close()


def test_g3_delivery_fails_after_the_timeout_and_nothing_more_is_accepted(
    sink: Make, hook: Hook, lines: io.StringIO
) -> None:
    hook.answer = lambda body: (500, b"")
    made = sink(hook.url, delivery_timeout_seconds=0.5)
    send(made, "a")
    said = fails(made)
    assert said == f"webhook: 1 alerts are not accepted; {hook.url}: answered 500"
    hook.answer = lambda body: (200, b"")
    told = len(hook.bodies)
    assert fails(made) == said
    with pytest.raises(DeliveryError):
        send(made, "b")
    assert len(hook.bodies) == told, "it begins again elsewhere, where everything was acknowledged"
    assert [line["error"] for line in events(lines) if line["event"] == "delivery failed"] == [said]


def test_delivery_timeout_restarts_with_every_accepted_request(sink: Make, hook: Hook) -> None:
    """A long queue for a working receiver is not an outage."""

    def slowly(body: bytes) -> tuple[int, bytes]:
        time.sleep(0.4)
        return 200, b""

    hook.answer = slowly
    made = sink(hook.url, delivery_timeout_seconds=3.0, max_alerts_per_request=1)
    send(made, *map(str, range(10)))
    made.flush(PATIENCE_SECONDS)
    assert len(hook.bodies) == 10


def test_flush_may_be_repeated_after_its_timeout(sink: Make, hook: Hook) -> None:
    hook.hold.clear()
    made = sink(hook.url)
    send(made, "a")
    with pytest.raises(DeliveryError, match="1 alerts are not accepted in time; the receiver has not answered yet"):
        made.flush(0.2)
    hook.hold.set()
    made.flush(PATIENCE_SECONDS)


def test_retry_after_is_obeyed(sink: Make, hook: Hook) -> None:
    asked_at: list[float] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        asked_at.append(time.monotonic())
        return (429 if len(asked_at) == 1 else 200), b""

    hook.answer, hook.headers = answer, {"Retry-After": "1"}
    made = sink(hook.url)
    send(made, "a")
    made.flush(PATIENCE_SECONDS)
    assert asked_at[1] - asked_at[0] >= 1.0


def test_retry_after_beyond_the_delivery_timeout_gets_one_last_attempt(sink: Make, hook: Hook) -> None:
    hook.answer, hook.headers = (lambda body: (503, b"")), {"Retry-After": "86400"}
    made = sink(hook.url, delivery_timeout_seconds=1.0)
    send(made, "a")
    assert "answered 503" in fails(made)
    assert len(hook.bodies) == 2


def refusing(hook: Hook, status: int, taken: list[str]) -> None:
    """Reject requests that contain a host named bad."""

    def answer(body: bytes) -> tuple[int, bytes]:
        hosts = hosts_of(body)
        if any(host.startswith("bad") for host in hosts):
            return status, b"no such label"
        taken.extend(hosts)
        return 200, b""

    hook.answer = answer


@pytest.mark.parametrize("status", [400, 413, 422])
def test_g2_rejected_alert_does_not_drop_others(
    sink: Make, hook: Hook, failures: Failures, lines: io.StringIO, status: int
) -> None:
    made = sink(hook.url)
    warm(made)
    taken: list[str] = []
    refusing(hook, status, taken)
    before = len(hook.bodies)
    hosts = [f"{'bad' if number in (3, 77) else 'good'}-{number}" for number in range(100)]
    hook.hold.clear()
    send(made, *hosts)
    hook.hold.set()
    made.flush(PATIENCE_SECONDS)
    assert taken == [host for host in hosts if host.startswith("good")]
    assert failures.count == 2
    refused = [line for line in events(lines) if line["event"] == "alert refused"]
    assert [(line["labels"]["host"], line["id"], line["status"]) for line in refused] == [
        ("bad-3", firing().id, "firing"),
        ("bad-77", firing().id, "firing"),
    ]
    assert f"answered {status} (no such label)" in refused[0]["error"]
    assert len(hook.bodies) - before < 50


def test_worker_continues_when_every_alert_is_rejected_and_each_is_tried_alone(
    sink: Make, hook: Hook, failures: Failures
) -> None:
    refusing(hook, 400, [])
    made = sink(hook.url)
    for number in range(40):
        send(made, f"bad-{number}")
    made.flush(PATIENCE_SECONDS)
    assert failures.count == 40
    assert {host for hosts in hook.hosts if len(hosts) == 1 for host in hosts} == {f"bad-{n}" for n in range(40)}


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        (401, "check sinks.webhook.bearer_token_file, username and password_file"),
        (403, "check sinks.webhook.bearer_token_file, username and password_file"),
        (404, "check sinks.webhook.url or url_file"),
        (405, "check sinks.webhook.url or url_file"),
        (302, "it redirects to elsewhere; use that in sinks.webhook.url or url_file"),
    ],
)
def test_g2_faults_that_an_operator_must_fix_are_outages_with_a_hint(
    sink: Make, hook: Hook, status: int, mend: str
) -> None:
    hook.answer, hook.headers = (lambda body: (status, b"")), {"Location": "/login"}
    made = sink(hook.url, delivery_timeout_seconds=0.2)
    send(made, "a")
    assert fails(made).endswith(f"answered {status}; {mend}")


@pytest.mark.parametrize("names", ["plain", "quoted", "location", "nonsense"])
def test_s3_path_and_query_of_the_url_appear_in_no_output(
    sink: Make, hook: Hook, lines: io.StringIO, names: str, tmp_path: Path
) -> None:
    """Receivers may repeat them in their answers."""
    said = {"plain": f"Cannot POST {SECRET_PATH}", "quoted": "token C4NARY is unknown"}.get(names, "")
    hook.answer = lambda body: (404 if names != "location" else 308, said.encode())
    hook.headers = {"Location": hook.url + SECRET_PATH}
    address = tmp_path / "address"
    address.write_text(f"{hook.url}{SECRET_PATH}\n")
    if names == "nonsense":
        hook.answer = lambda body: None
    made = sink(url_file=str(address), delivery_timeout_seconds=0.2, allow_plaintext_credentials=True)
    send(made, "a")
    said_at_last = fails(made)
    assert hook.paths[0] == SECRET_PATH
    assert "c4nary" not in (said_at_last + lines.getvalue()).lower()
    assert hook.url in said_at_last


def test_s3_credentials_do_not_follow_a_redirect(sink: Make, hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with Hook() as elsewhere:
        hook.headers = {"Location": elsewhere.url}
        hook.answer = lambda body: (307, b"")
        secrets = {"bearer_token_file": str(tmp_path / "token"), "allow_plaintext_credentials": True}
        made = sink(hook.url, delivery_timeout_seconds=0.2, **secrets)
        send(made, "a")
        assert f"it redirects to {elsewhere.url}" in fails(made)
        assert elsewhere.bodies == []


def test_secret_files_are_read_for_every_request(
    sink: Make, hook: Hook, failures: Failures, tmp_path: Path, lines: io.StringIO
) -> None:
    token, address = tmp_path / "token", tmp_path / "address"
    token.write_text("old-canary\n")
    address.write_text(f"{hook.url}/old-canary\n")
    wanted = ("Bearer new-canary", "/new-canary")
    hook.answer = lambda body: (200 if (hook.authorizations[-1], hook.paths[-1]) == wanted else 403, b"")
    secrets = {"bearer_token_file": str(token), "url_file": str(address), "allow_plaintext_credentials": True}
    made = sink(**secrets)
    send(made, "a")
    eventually(lambda: failures.count >= 1, "the old ones are refused")
    token.write_text("new-canary\n")
    address.write_text(f"{hook.url}/new-canary")
    made.flush(PATIENCE_SECONDS)
    assert "canary" not in lines.getvalue()


def test_user_name_and_password_are_sent(sink: Make, hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    secrets = {"username": "ali", "password_file": str(tmp_path / "password"), "allow_plaintext_credentials": True}
    made = sink(hook.url, **secrets)
    send(made, "a")
    made.flush(PATIENCE_SECONDS)
    assert hook.authorizations == ["Basic YWxpOm9wZW4gc2VzYW1l"]


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (None, "cannot be read: "),
        ("", "is neither http:// nor https://; put an address into it, such as https://"),
        ("hooks.example.com/canary", "is neither http:// nor https://"),
        ("https://ali:canary@example.com/", "contains credentials"),
        ("https://example.com/canary\nhttps://example.com/canary2", "does not name a valid host"),
        ("https://example.com:canary/", "is not a valid address; "),
        ("https://example.com/canary#there", "has a fragment"),
        ("http://example.com/canary", "holds an http:// address, which would be sent unencrypted: use https://"),
    ],
)
def test_s3_unusable_url_file_is_an_error_at_the_start_that_does_not_quote_it(
    sink: Make, tmp_path: Path, content: str | None, finding: str
) -> None:
    address = tmp_path / "address"
    if content is not None:
        address.write_text(content)
    with pytest.raises(DeliveryError) as raised:
        sink(url_file=str(address))
    assert f"sinks.webhook.url_file: {address} {finding}" in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("key", ["bearer_token_file", "ca_file"])
def test_missing_file_is_an_error_at_the_start(sink: Make, key: str) -> None:
    with pytest.raises(DeliveryError, match=f"sinks.webhook.{key}: /nowhere/file cannot be "):
        sink("https://127.0.0.1", **{key: "/nowhere/file"})


def test_s1_certificate_of_the_receiver_is_verified(sink: Make, tmp_path: Path) -> None:
    right, other = identity(tmp_path, "right", "IP:127.0.0.1"), identity(tmp_path, "other", "IP:127.0.0.2")
    with Hook(right) as trusted, Hook(other) as misnamed:
        made = sink(f"https://127.0.0.1:{trusted.port}", ca_file=str(right))
        send(made, "a")
        made.flush(PATIENCE_SECONDS)
        for server, ca in ((trusted, {}), (trusted, {"ca_file": str(other)}), (misnamed, {"ca_file": str(other)})):
            told = len(server.bodies)
            made = sink(f"https://127.0.0.1:{server.port}", delivery_timeout_seconds=0.2, **ca)
            send(made, "a")
            assert "certificate rejected" in fails(made)
            assert len(server.bodies) == told, "nothing was sent"


@pytest.mark.parametrize("tls", [False, True])
def test_g12_close_does_not_wait_for_a_request_and_nothing_is_posted_afterwards(
    sink: Make, tmp_path: Path, tls: bool, lines: io.StringIO
) -> None:
    own = identity(tmp_path, "own", "IP:127.0.0.1") if tls else None
    with Hook(own) as hook:
        hook.hold.clear()
        settings = {"ca_file": str(own)} if tls else {}
        made = sink(f"{'https' if tls else 'http'}://127.0.0.1:{hook.port}", **settings)
        thread = next(one for one in threading.enumerate() if one.name == "webhook" and one is made._thread)
        send(made, "a")
        eventually(lambda: len(hook.bodies) == 1, "a request hangs")
        made.close(30.0)
        made.close(30.0)
        eventually(lambda: not thread.is_alive(), "it ends")
        assert len(hook.bodies) == 1
    assert "closing with alerts that were not accepted" in lines.getvalue()


class Failing:
    """A client whose requests all fail, with a retry after three seconds."""

    def __init__(self) -> None:
        self.posts = 0

    def post(self, body: bytes) -> None:
        self.posts += 1
        raise DeliveryError("no answer", retry_after_seconds=3.0)

    def abort(self) -> None: ...


def test_g4_process_suspended_for_too_long_posts_nothing() -> None:
    client, clock = Failing(), ManualClock()
    section = Webhook.model_validate({"enabled": True, "url": "https://a"})
    made = WebhookSink(section, lambda: None, client, now=clock.monotonic)
    try:
        send(made, "a")
        eventually(lambda: client.posts == 1, "it waits before the next try")
        clock.advance(1_000.0)
        assert "1 alerts are not accepted; no answer" in fails(made)
        assert client.posts == 1
    finally:
        made.close(3.0)


def test_close_ends_the_threads(sink: Make, hook: Hook) -> None:
    made = sink(hook.url)
    send(made, "a")
    made.flush(PATIENCE_SECONDS)
    made.close(30.0)
    eventually(lambda: not made._thread.is_alive(), "it ends")


def test_replay_posts_nothing(hook: Hook, tmp_path: Path) -> None:
    values = [100.0 + number % 3 for number in range(200)] + [0.0] * 3
    rows = (f"{1_700_000_000 + 60 * number},{value}" for number, value in enumerate(values))
    (tmp_path / "requests.csv").write_text("timestamp,value\n" + "\n".join(rows))
    config = tmp_path / "config.yaml"
    config.write_text(f"sinks: {{webhook: {{enabled: true, url: '{hook.url}'}}}}")
    series, scores = str(tmp_path / "requests.csv"), tmp_path / "scores"
    ran = CliRunner().invoke(app, ["replay", series, "--scores", str(scores), "-c", str(config)])
    assert ran.exit_code == 0, ran.output
    with next(scores.rglob("*.csv")).open(newline="") as file:
        assert max(float(row["anomaly_score"] or 0) for row in csv.DictReader(file)) > 1.0, "there is an alert"
    assert hook.bodies == []
