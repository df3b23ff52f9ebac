"""What the sinks that speak HTTP share; the rest of it is tested with each of them."""

from __future__ import annotations

import socket
import threading
from urllib.parse import urlsplit

import pytest

from detector.config.alertmanager import Alertmanager
from detector.errors import DeliveryError
from detector.http_client import HttpClient, Words
from tests.sinks.receivers import Receiver

WORDS = Words(section="sinks.it", address="sinks.it.url", server="it")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://[::1]", "::1", 80), ("https://[fe80::abcd]", "fe80::abcd", 443), ("http://am:9093", "am", 9093)],
)
def test_an_address_may_be_a_number_without_a_port(url: str, host: str, port: int) -> None:
    connection = HttpClient(Alertmanager(), WORDS).connection(urlsplit(url))
    assert (connection.host, connection.port) == (host, port)


def test_path_and_query_are_asked_for_as_they_stand() -> None:
    with Receiver() as receiver:
        for path in ("", "/", "/a%2Fb/?x=1&y=%20", "?x"):
            HttpClient(Alertmanager(), WORDS).post(receiver.url + path, b"{}", "it")
        assert receiver.paths == ["/", "/", "/a%2Fb/?x=1&y=%20", "/?x"]


def test_an_answer_that_comes_before_the_end_of_the_request_is_heard() -> None:
    """As that of a server which refuses what is too large, and hangs up."""
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


def test_an_answer_that_hangs_up_on_a_request_that_is_too_large_is_heard() -> None:
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
def test_a_status_counts_although_the_words_with_it_are_cut(rest: bytes) -> None:
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
def test_who_asks_to_be_left_alone_says_for_how_long(header: str, least: float, most: float) -> None:
    with Receiver() as receiver:
        receiver.headers = {"Retry-After": header.encode().decode("latin-1")}
        receiver.answer = lambda body: (429, b"")
        with pytest.raises(DeliveryError) as raised:
            HttpClient(Alertmanager(), WORDS).post(receiver.url, b"{}", "it")
        assert raised.value.retriable
        assert least <= raised.value.retry_after_seconds <= most
