"""The HTTP client that sinks, registry and token requests share."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from detector.config.alertmanager import Alertmanager
from detector.config.avro import Registry
from detector.config.webhook import Webhook
from detector.decoders.schema_registry import SchemaRegistry
from detector.errors import DeliveryError, DetectorError
from detector.http.client import HttpClient, Words
from detector.sinks.alertmanager_http import AlertmanagerClient
from detector.sinks.webhook_http import WebhookClient
from tests.sinks.receivers import Receiver

WORDS = Words(section="sinks.it", address="sinks.it.url", server="it")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://[::1]", "::1", 80), ("https://[fe80::abcd]", "fe80::abcd", 443), ("http://am:9093", "am", 9093)],
)
def test_url_may_be_an_ip_address_without_a_port(url: str, host: str, port: int) -> None:
    connection = HttpClient(Alertmanager(), WORDS).connection(urlsplit(url))
    assert (connection.host, connection.port) == (host, port)


def test_path_and_query_are_sent_unchanged() -> None:
    with Receiver() as receiver:
        for path in ("", "/", "/a%2Fb/?x=1&y=%20", "?x"):
            HttpClient(Alertmanager(), WORDS).post(receiver.url + path, b"{}", "it")
        assert receiver.paths == ["/", "/", "/a%2Fb/?x=1&y=%20", "/?x"]


def test_answer_before_the_end_of_the_request_is_read() -> None:
    """For example from a server that rejects a too large request and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeliveryError, match="answered 413") as raised:
            HttpClient(Alertmanager(), WORDS).post(f"http://127.0.0.1:{server.getsockname()[1]}", bytes(1 << 22), "it")
        thread.join()
    assert not raised.value.retriable


def test_answer_to_a_too_large_request_is_read_although_the_connection_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = threading.Event()

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            connection.shutdown(socket.SHUT_RD)
            served.wait(300)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with pytest.raises(DeliveryError, match="answered 413"):
                HttpClient(Alertmanager(), WORDS).post(f"http://127.0.0.1:{server.getsockname()[1]}", b"{}", "it")
        finally:
            served.set()
            thread.join()


@pytest.mark.parametrize("rest", [b"Content-Length: 9\r\n\r\nbad", b"Transfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n"])
def test_status_counts_although_the_body_is_truncated(rest: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" + rest)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DeliveryError, match="it: answered 400") as raised:
            HttpClient(Alertmanager(), WORDS).post(f"http://127.0.0.1:{server.getsockname()[1]}", b"{}", "it")
        thread.join()
    assert not raised.value.retriable


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7.0, 7.0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 3_600.0, 1e10),
        ("Thu, 01 Jan 2015 00:00:00 GMT", 0.0, 0.0),
        ("soon", 0.0, 0.0),
        ("-5", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("²", 0.0, 0.0),
    ],
)
def test_retry_after_is_read(header: str, least: float, most: float) -> None:
    with Receiver() as receiver:
        receiver.headers = {"Retry-After": header.encode().decode("latin-1")}
        receiver.answer = lambda body: (429, b"")
        with pytest.raises(DeliveryError) as raised:
            HttpClient(Alertmanager(), WORDS).post(receiver.url, b"{}", "it")
        assert raised.value.retriable
        assert least <= raised.value.retry_after_seconds <= most


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(pieces: Iterable[bytes]) -> Iterator[str]:
    """The address of a server that sends these bytes to any request, until the client closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("size", [b"-5", b"-1", b"no"])
def test_invalid_chunk_size_is_an_error(size: bytes) -> None:
    with (
        answering([CHUNKED + size + b"\r\nmore"]) as url,
        pytest.raises(DeliveryError, match="it: no answer") as raised,
    ):
        HttpClient(Alertmanager(), WORDS).exchange("GET", url, "it", longest=100)
    assert raised.value.retriable


def test_endless_answer_is_cut_off() -> None:
    """http.client reads a chunk of -1 bytes as everything that follows."""
    endless = itertools.chain([CHUNKED + b"-1\r\n"], itertools.repeat(bytes(1 << 20), 100))
    with answering(endless) as url:
        tracemalloc.start()
        with pytest.raises(DeliveryError):
            HttpClient(Alertmanager(), WORDS).exchange("GET", url, "it", longest=100)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 500 No\r\n\r\n\x1b[2Jforged\r\nline", b"\x1b[2Jforged\r\n", b"HTTP/1.1 999999 \x1b[2J\r\n\r\n"],
)
def test_s6_quoted_answer_is_one_printable_line(answer: bytes) -> None:
    with answering([answer]) as url, pytest.raises(DeliveryError) as raised:
        HttpClient(Alertmanager(), WORDS).post(url, b"{}", "it")
    assert not {"\n", "\r", "\x1b"} & set(str(raised.value))


@pytest.mark.parametrize(
    "said",
    [
        b"the secret open-sesame is old",
        b"Basic " + base64.b64encode(b"ali:Open-Sesame"),
        b"x" * 190 + b" Open-Sesame, whose end is cut off",
    ],
)
def test_s3_credentials_echoed_by_a_server_are_not_quoted(tmp_path: Path, said: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_text("Open-Sesame\n")
    section = Alertmanager(username="ali", password_file=str(secret), allow_plaintext_credentials=True)
    with Receiver() as receiver:
        receiver.answer = lambda body: (401, said)
        with pytest.raises(DeliveryError, match="answered 401; check"):
            HttpClient(section, WORDS).post(receiver.url, b"{}", "it")


def test_s3_token_echoed_by_a_server_is_not_quoted(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Open-Sesame\n")
    section = Alertmanager(bearer_token_file=str(token), allow_plaintext_credentials=True)
    with Receiver() as receiver:
        receiver.answer = lambda body: (401, b"Open-Sesame is old")
        with pytest.raises(DeliveryError, match="answered 401; check"):
            HttpClient(section, WORDS).post(receiver.url, b"{}", "it")


def test_s3_token_echoed_in_a_redirect_is_not_quoted(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("Open-Sesame\n")
    section = Alertmanager(bearer_token_file=str(token), allow_plaintext_credentials=True)
    with Receiver() as receiver:
        receiver.answer = lambda body: (302, b"")
        receiver.headers = {"Location": "https://login.example.com/?token=Open-Sesame"}
        with pytest.raises(DeliveryError, match=r"it redirects to https://login\.example\.com; use that"):
            HttpClient(section, WORDS).post(receiver.url, b"{}", "it")


OK = b"HTTP/1.1 200 OK\r\n"
DROPS, SECONDS_A_DROP = 200, 0.05
"""Of a server that always sends something before a time-out that begins anew with every step, and at last all of it."""
SHORT_SECONDS, AMPLE_SECONDS = 0.5, 2.0
"""The longer one where a request has to get somewhere first, on a machine that is busy with other tests."""
DRIPPING = {
    "status": [b"HTTP/1.1 ", b"2", b"00 OK\r\n\r\n"],
    "headers": [OK + b"X: ", b"x", b"\r\nContent-Length: 0\r\n\r\n"],
    "provisional answers": [b"", b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 0\r\n\r\n"],
    "body": [OK + b"Content-Length: %d\r\n\r\n" % DROPS, b"x", b""],
    "body without a length": [OK + b"\r\n", b"x", b""],
    "chunks": [CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"],
    "the size of a chunk": [CHUNKED, b"0", b"\r\n\r\n"],
}


def drops(first: bytes, drop: bytes, last: bytes) -> Iterator[bytes]:
    yield first
    for _ in range(DROPS):
        time.sleep(SECONDS_A_DROP)
        yield drop
    yield last


@pytest.mark.parametrize("pieces", DRIPPING.values(), ids=DRIPPING.keys())
def test_g12_dripping_answer_is_bounded_by_the_request_timeout(pieces: list[bytes]) -> None:
    said = r"no answer within 0\.5 s \(sinks\.it\.timeout_seconds\): timed out while"
    with answering(drops(*pieces)) as url, pytest.raises(DeliveryError, match=said) as raised:
        HttpClient(Alertmanager(timeout_seconds=SHORT_SECONDS), WORDS).exchange("GET", url, "it", longest=1 << 16)
    assert raised.value.retriable


def test_g12_status_counts_although_the_body_drips() -> None:
    refused = b"HTTP/1.1 503 No\r\nContent-Length: %d\r\n\r\n" % DROPS
    pieces = drops(refused, b"x", b"")
    with answering(pieces) as url, pytest.raises(DeliveryError, match=r"it: answered 503$"):
        HttpClient(Alertmanager(timeout_seconds=AMPLE_SECONDS), WORDS).post(url, b"{}", "it")
    assert next(pieces, None) is not None, "nobody waited for all of them"


@pytest.mark.parametrize(
    ("ask", "key"),
    [
        (
            lambda url: AlertmanagerClient(url, Alertmanager(timeout_seconds=SHORT_SECONDS)).post(b"[]"),
            "sinks.alertmanager.timeout_seconds",
        ),
        (
            lambda url: WebhookClient(Webhook(url=url, timeout_seconds=SHORT_SECONDS)).post(b"{}"),
            "sinks.webhook.timeout_seconds",
        ),
        (
            lambda url: SchemaRegistry(
                Registry(urls=[url], timeout_seconds=SHORT_SECONDS), lambda problem: None
            ).check(),
            "decoder.avro.registry.timeout_seconds",
        ),
    ],
    ids=["alertmanager", "webhook", "schema registry"],
)
def test_g12_every_client_of_http_bounds_its_requests(ask: Callable[[str], None], key: str) -> None:
    with answering(drops(*DRIPPING["headers"])) as url, pytest.raises(DetectorError, match=rf"within 0\.5 s \({key}\)"):
        ask(url)


def test_g12_dripping_tls_handshake_is_bounded() -> None:
    record = b"\x16\x03\x03\x10\x00"
    with (
        answering(drops(record, b"\0", b"")) as url,
        pytest.raises(DeliveryError, match="while negotiating TLS; check"),
    ):
        HttpClient(Alertmanager(timeout_seconds=AMPLE_SECONDS), WORDS).post(f"https{url[4:]}", b"{}", "it")


def test_g12_slow_reading_server_is_bounded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        given_up = threading.Event()

        def take() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                for _ in range(DROPS):
                    if given_up.wait(SECONDS_A_DROP):
                        return
                    connection.recv(1 << 10)
                connection.sendall(OK + b"\r\n")

        thread = threading.Thread(target=take)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(DeliveryError, match="timed out while sending the request; check"):
            HttpClient(Alertmanager(timeout_seconds=AMPLE_SECONDS), WORDS).post(url, bytes(1 << 24), "it")
        given_up.set()
        thread.join()


@contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """An address at which connections are neither accepted nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        yield server.getsockname()


def test_g12_connection_that_is_not_accepted_is_bounded() -> None:
    with deaf() as (host, port), pytest.raises(DeliveryError, match="timed out while connecting; check"):
        HttpClient(Alertmanager(timeout_seconds=SHORT_SECONDS), WORDS).post(f"http://{host}:{port}", b"{}", "it")


def test_unanswered_address_of_a_host_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf() as silent, Receiver() as receiver:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in (silent, ("127.0.0.1", receiver.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        HttpClient(Alertmanager(timeout_seconds=AMPLE_SECONDS), WORDS).post("http://receiver", b"{}", "it")
        assert receiver.bodies == [b"{}"]


def test_request_aborted_during_the_tls_handshake_fails_at_once() -> None:
    client = HttpClient(Alertmanager(timeout_seconds=60.0), WORDS)
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = threading.Event()

        def abort() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                client.abort()
                heard.wait(300)

        thread = threading.Thread(target=abort)
        thread.start()
        try:
            with pytest.raises(DeliveryError, match=r"no answer \("):
                client.post(f"https://127.0.0.1:{server.getsockname()[1]}", b"{}", "it")
        finally:
            heard.set()
            thread.join()
