"""The Alertmanager sink with servers that fail, hang and reject: nothing waits for them, nothing is lost."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from detector.clock import SystemClock
from detector.config.alertmanager import Alertmanager
from detector.errors import DeliveryError
from detector.records import Alert
from detector.sinks.alertmanager import BATCH, TICK_SECONDS, AlertmanagerBoard, Sender
from detector.testing import ManualClock
from tests.kafka.broker import free_ports
from tests.kafka.endpoint import eventually
from tests.sinks.alertmanagers import RECORD, FakeAlertmanager, firing, noticed, resolved
from tests.sinks.receivers import Failures, events, identity

Make = Callable[..., AlertmanagerBoard]


@pytest.fixture
def board(failures: Failures) -> Iterator[Make]:
    """Boards that are closed at the end of the test."""
    with ExitStack() as stack:

        def make(*urls: str, **section: Any) -> AlertmanagerBoard:
            settings = {"enabled": True, "urls": list(urls), "timeout_seconds": 60.0, **section}
            made = AlertmanagerBoard(Alertmanager.model_validate(settings), RECORD, SystemClock(), failures)
            stack.callback(made.close, 3.0)
            return made

        yield make


@pytest.fixture
def server() -> Iterator[FakeAlertmanager]:
    with FakeAlertmanager() as started:
        yield started


def fires(told: dict[str, Any]) -> bool:
    return datetime.fromisoformat(told["endsAt"]).timestamp() > time.time()


def delivered(made: AlertmanagerBoard) -> None:
    eventually(lambda: made.waiting() == 0, "everything is accepted")


def test_firing_and_resolved_alerts_are_posted_below_the_path_prefix(board: Make, server: FakeAlertmanager) -> None:
    made = board(f"{server.url}/team/")
    made.update([firing()])
    delivered(made)
    made.update([resolved()])
    delivered(made)
    assert server.paths == ["/team/api/v2/alerts"] * 2
    ((first,), (last,)) = server.posts
    assert (fires(first), fires(last)) == (True, False)
    assert first["labels"] == last["labels"]
    assert first["startsAt"] == last["startsAt"] == "1970-01-01T00:16:40.000000Z"
    assert last["endsAt"] == "1970-01-01T00:17:40.000000Z"


def test_g19_firing_alert_is_repeated_until_it_resolves(board: Make, server: FakeAlertmanager) -> None:
    made = board(server.url, resend_seconds=1)
    made.update([firing("a"), firing("b")])
    made.update([resolved("b")])
    eventually(lambda: len(server.posts) >= 4, "it is repeated")
    last = {told["labels"]["host"]: fires(told) for post in server.posts for told in post}
    assert last == {"a": True, "b": False}


def test_g19_alert_that_fired_and_resolved_during_an_outage_is_posted_afterwards(
    board: Make, failures: Failures, lines: io.StringIO
) -> None:
    port = free_ports(1)[0]
    made = board(f"http://127.0.0.1:{port}")
    made.update([firing("a"), firing("b")])
    eventually(lambda: failures.count >= 1, "the failure is counted")
    made.update([resolved("b")])
    assert made.waiting() == 2
    eventually(lambda: failures.count >= 2, "it tries again")
    (first, *_) = events(lines)
    assert first["event"] == "alerts are not accepted, trying again"
    assert f"127.0.0.1:{port}: no answer" in first["error"]
    assert "check sinks.alertmanager.urls" in first["error"]
    with FakeAlertmanager(port=port) as server:
        delivered(made)
        told = {one["labels"]["host"]: fires(one) for post in server.posts for one in post}
        assert told == {"a": True, "b": False}
        eventually(lambda: "alerts are accepted again" in lines.getvalue(), "it says so")


def test_server_error_is_retried_with_growing_pauses(
    board: Make, server: FakeAlertmanager, failures: Failures, lines: io.StringIO
) -> None:
    server.answer = lambda body: (500 if len(server.posts) < 4 else 200, b"no disk\nleft")
    made = board(server.url)
    made.update([firing()])
    delivered(made)
    assert failures.count == 3
    told = [line for line in events(lines) if line["event"].startswith("alerts are not accepted")]
    assert [line["retry_seconds"] for line in told] == [0.5, 1.0, 2.0]
    assert told[0]["error"].endswith("answered 500 (no disk)")


def test_g19_hanging_alertmanager_delays_neither_the_other_one_nor_the_worker(
    board: Make, server: FakeAlertmanager, failures: Failures
) -> None:
    with FakeAlertmanager() as hanging:
        hanging.hold.clear()
        made = board(hanging.url, server.url, timeout_seconds=1.0)
        before = time.monotonic()
        for number in range(3):
            made.update([firing(f"host-{number}")])
            eventually(lambda told=number: [f"host-{told}"] in server.hosts, "the other one gets the alert")  # type: ignore[misc]
        assert made.waiting() >= 3
        eventually(lambda: failures.count > 0, "its silence is counted")
        made.close(3.0)
        assert time.monotonic() - before < 60.0


def test_g19_rejected_alert_does_not_hold_back_others(
    board: Make, server: FakeAlertmanager, failures: Failures, lines: io.StringIO
) -> None:
    """Alertmanager rejects a whole request with 400 if one of its alerts is invalid."""

    def answer(body: bytes) -> tuple[int, bytes]:
        alerts = json.loads(body)
        if any(one["labels"]["host"] == "bad-77" for one in alerts):
            return 400, b'"label set is invalid"'
        taken.extend(one["labels"]["host"] for one in alerts)
        return 200, b""

    taken: list[str] = []
    server.answer = answer
    made = board(server.url)
    hosts = [f"{'bad' if number == 77 else 'good'}-{number}" for number in range(100)]
    made.update([firing(host) for host in hosts])
    delivered(made)
    assert sorted(taken) == sorted(set(hosts) - {"bad-77"})
    assert failures.count == 1
    (refused,) = [line for line in events(lines) if line["event"] == "alert refused"]
    assert refused["labels"]["host"] == "bad-77"
    assert "label set is invalid" in refused["error"]
    assert len(server.posts) < 20


def test_many_alerts_are_posted_in_few_requests(board: Make, server: FakeAlertmanager) -> None:
    made = board(server.url)
    made.update([firing(f"host-{number}") for number in range(3 * BATCH)])
    delivered(made)
    assert [len(post) for post in server.posts] == [BATCH] * 3


def test_credentials_are_read_for_every_request(
    board: Make, server: FakeAlertmanager, failures: Failures, tmp_path: Path, lines: io.StringIO
) -> None:
    token = tmp_path / "token"
    token.write_text("old-secret\n")
    server.answer = lambda body: (200 if server.authorizations[-1] == "Bearer new-secret" else 401, b"")
    made = board(server.url, bearer_token_file=str(token), allow_plaintext_credentials=True)
    made.update([firing()])
    eventually(lambda: failures.count >= 1, "the old one is refused")
    token.write_text("new-secret\n")
    delivered(made)
    assert "check sinks.alertmanager.bearer_token_file" in lines.getvalue()
    assert "secret" not in lines.getvalue()


def test_user_name_and_password_are_sent(board: Make, server: FakeAlertmanager, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("open sesame\n")
    secrets = {"username": "ali", "password_file": str(tmp_path / "password"), "allow_plaintext_credentials": True}
    made = board(server.url, **secrets)
    made.update([firing()])
    delivered(made)
    assert server.authorizations == ["Basic YWxpOm9wZW4gc2VzYW1l"]


@pytest.mark.parametrize("content", ["two\nlines-of-secret", "se cret", "sécret", None])
def test_s3_error_for_a_file_without_a_token_does_not_quote_it(
    board: Make, server: FakeAlertmanager, failures: Failures, tmp_path: Path, lines: io.StringIO, content: str | None
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    made = board(server.url, bearer_token_file=str(token), allow_plaintext_credentials=True)
    made.update([firing()])
    eventually(lambda: failures.count >= 1, "it fails")
    eventually(lambda: str(token) in lines.getvalue(), "the file is named")
    assert "cret" not in lines.getvalue()
    assert server.posts == []


def test_s3_credentials_do_not_follow_a_redirect(
    board: Make, server: FakeAlertmanager, failures: Failures, tmp_path: Path, lines: io.StringIO
) -> None:
    (tmp_path / "token").write_text("secret")
    with FakeAlertmanager() as elsewhere:
        server.headers = {"Location": f"{elsewhere.url}/api/v2/alerts"}
        server.answer = lambda body: (307, b"")
        secrets = {"bearer_token_file": str(tmp_path / "token"), "allow_plaintext_credentials": True}
        board(server.url, **secrets).update([firing()])
        eventually(lambda: failures.count >= 1, "it fails")
        eventually(lambda: f"it redirects to {elsewhere.url}" in lines.getvalue(), "it says where to")
        assert elsewhere.posts == []


def test_s1_certificate_of_the_server_is_verified(
    board: Make, failures: Failures, tmp_path: Path, lines: io.StringIO
) -> None:
    right, other = identity(tmp_path, "right", "IP:127.0.0.1"), identity(tmp_path, "other", "IP:127.0.0.2")
    with FakeAlertmanager(right) as trusted, FakeAlertmanager(other) as misnamed:
        made = board(f"https://127.0.0.1:{trusted.port}", ca_file=str(right))
        made.update([firing()])
        delivered(made)
        assert failures.count == 0
        for server, ca in ((trusted, None), (trusted, other), (misnamed, other)):
            counted, told = failures.count, len(server.posts)
            board(f"https://127.0.0.1:{server.port}", **({"ca_file": str(ca)} if ca else {})).update([firing()])
            eventually(lambda: failures.count > counted or len(server.posts) > told, "it is refused")  # noqa: B023
            assert len(server.posts) == told, "nothing was sent"
        assert "certificate rejected" in lines.getvalue()


def test_g19_close_tries_waiting_changes_once_more_and_resolves_nothing(board: Make, server: FakeAlertmanager) -> None:
    server.answer = lambda body: (503 if len(server.posts) < 3 else 200, b"")
    made = board(server.url)
    made.update([firing()])
    eventually(lambda: len(server.posts) == 2, "two tries fail, the next would be a second away")
    made.close(30.0)
    assert made.waiting() == 0
    assert [fires(one) for post in server.posts for one in post] == [True] * 3


def test_only_alerts_that_were_due_are_missed_at_the_end(
    board: Make, server: FakeAlertmanager, lines: io.StringIO
) -> None:
    """Those of restored state that are still held back say nothing about the Alertmanager."""
    server.answer = lambda body: (503, b"")
    made = board(server.url, resend_seconds=60)
    made.update([firing("a"), firing("b"), firing("c")], restored=True)
    made.close(30.0)
    assert events(lines) == []
    assert server.posts == []
    made = board(server.url, resend_seconds=60)
    made.update([firing("a"), firing("b")], restored=True)
    made.update([firing("c")])
    eventually(lambda: len(server.posts) > 0, "the news is refused")
    made.close(30.0)
    (last,) = [line for line in events(lines) if line["event"] == "stopped with alerts that were not accepted"]
    assert last["alerts"] == 1


def test_request_that_hangs_until_close_is_not_repeated(board: Make, server: FakeAlertmanager) -> None:
    server.hold.clear()
    made = board(server.url, timeout_seconds=1.0)
    before = set(threading.enumerate())
    made.update([firing()])
    eventually(lambda: len(server.posts) == 1, "a request hangs")
    made.close(0.3)
    eventually(
        lambda: not [one for one in threading.enumerate() if one.name == "alertmanager" and one in before], "it ends"
    )
    assert len(server.posts) == 1


def test_close_ends_the_threads(board: Make, server: FakeAlertmanager) -> None:
    before = set(threading.enumerate())
    made = board(server.url, f"{server.url}/b")
    begun = [thread for thread in threading.enumerate() if thread.name == "alertmanager" and thread not in before]
    made.update([firing()])
    delivered(made)
    made.close(30.0)
    made.close(30.0)
    assert len(begun) == 2
    assert not any(thread.is_alive() for thread in begun)


def test_alert_beyond_the_limit_is_counted_and_logged(
    board: Make, server: FakeAlertmanager, failures: Failures, lines: io.StringIO
) -> None:
    made = board(server.url, max_alerts=2)
    made.update([firing(host) for host in "abcd"])
    delivered(made)
    assert sorted(host for post in server.hosts for host in post) == ["a", "b"]
    assert failures.count == 2
    (told,) = [line for line in events(lines) if line["event"] == "alerts not sent, too many are open or waiting"]
    assert told["alerts"] == 2
    assert told["labels"]["host"] == "c"


def test_alerts_of_a_revoked_partition_are_no_longer_posted(board: Make, server: FakeAlertmanager) -> None:
    made = board(server.url, resend_seconds=1)
    made.update([firing("mine", partition=0), firing("another's", partition=1)])
    delivered(made)
    made.forget([("metrics", 1)])
    told = len(server.posts)
    eventually(lambda: len(server.posts) >= told + 3, "the other one is repeated")
    assert all(post == ["mine"] for post in server.hosts[told + 1 :])
    assert all(fires(one) for post in server.posts for one in post)


class Noting:
    """A client that records what it is given."""

    url = "noting"
    timeout_seconds = 10.0

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def post(self, alerts: bytes) -> None:
        self.bodies.append(alerts)


def test_g19_suspended_process_posts_nothing_before_the_worker_polled() -> None:
    client, clock = Noting(), ManualClock()
    sender = Sender(client, 40.0, 10, clock, lambda: None)
    try:
        sender.update([noticed(firing())], 0.0)
        eventually(lambda: len(client.bodies) == 1, "the alert is posted")
        eventually(lambda: sender.waiting == 0, "it is settled")
        eventually(lambda: bool(sender._changed._waiters), "it waits for its next turn")  # type: ignore[attr-defined]
        clock.advance(1_000.0)
        time.sleep(2 * TICK_SECONDS)
        assert len(client.bodies) == 1, "it may be another worker's alert by now"
        sender.forget([("metrics", 0)])
        sender.update([noticed(firing("b"))], 0.0)
        for _ in range(4):
            time.sleep(2 * TICK_SECONDS)
            clock.advance(4.0)
        eventually(lambda: len(client.bodies) == 2, "the remaining alert is posted", 30.0)
        assert [one["labels"]["host"] for one in json.loads(client.bodies[1])] == ["b"]
    finally:
        sender.ask_to_close(0.0)
        sender.join(30.0)


class Freezing(Noting):
    """A client whose process is suspended during its request."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def post(self, alerts: bytes) -> None:
        super().post(alerts)
        if len(self.bodies) == 1:
            self._clock.advance(1_000.0)
            raise DeliveryError("timed out")


def test_g19_process_suspended_during_a_request_posts_nothing_before_the_worker_polled() -> None:
    clock = ManualClock()
    client = Freezing(clock)
    sender = Sender(client, 40.0, 10, clock, lambda: None)
    try:
        sender.update([noticed(firing())], 0.0)
        eventually(lambda: len(client.bodies) == 1, "the alert is posted")
        clock.advance(1.0)  # for longer than the first pause
        time.sleep(3 * TICK_SECONDS)
        assert len(client.bodies) == 1, "it may be another worker's alert by now"
        for _ in range(4):
            clock.advance(4.0)
            time.sleep(2 * TICK_SECONDS)
        eventually(lambda: len(client.bodies) == 2, "it is ours")
    finally:
        sender.ask_to_close(0.0)
        sender.join(30.0)


def test_g19_burst_of_alerts_does_not_block_the_worker(board: Make, lines: io.StringIO) -> None:
    """Ten thousand alerts, to an Alertmanager that does not answer."""
    alerts: list[Alert] = [firing(f"host-{number}") for number in range(10_000)]
    with FakeAlertmanager() as server:
        server.hold.clear()
        made = board(server.url)
        before = time.monotonic()
        made.update(alerts)
        assert time.monotonic() - before < 30.0
        assert made.waiting() == len(alerts)
