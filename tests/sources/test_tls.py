"""S1: brokers are always verified, and a password is sent unencrypted only if allowed."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from kafka import errors as kafka_errors

from detector.config import parse
from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.errors import AccessDenied, BrokerUnreachable, ConfigError, SourceError
from detector.kafka.client import translate
from detector.sources.kafka import KafkaSource
from tests.stopwatch import undisturbed

Identity = Callable[..., Path]


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    def make(name: str = "localhost", days: int = 30) -> Path:
        """A file with a self-signed key and certificate for a host, made two days ago, valid for this many days."""
        store, pem = tmp_path / f"{name}-{days}.p12", tmp_path / f"{name}-{days}.pem"
        words = f"-genkeypair -alias a -keyalg RSA -storetype PKCS12 -storepass secret -dname CN={name} -startdate -2d"
        certificate = [*words.split(), "-keystore", str(store), "-ext", f"SAN=dns:{name}", "-validity", str(days)]
        subprocess.run(["keytool", *certificate], check=True, capture_output=True)
        export = ["openssl", "pkcs12", "-in", str(store), "-nodes", "-passin", "pass:secret", "-out", str(pem)]
        subprocess.run(export, check=True, capture_output=True)
        return pem

    return make


def refusal(server: Path, trusted: Path | None) -> tuple[type[Exception], str]:
    """The error of a source for a TLS server with this identity that does not speak Kafka."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)

    def answer(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with suppress(OSError), connection, context.wrap_socket(connection, server_side=True):
                    """It hangs up."""

    with socket.create_server(("localhost", 0)) as listening:
        thread = Thread(target=answer, args=(listening,))
        thread.start()
        kafka = Kafka.model_validate(
            {
                "bootstrap_servers": [f"localhost:{listening.getsockname()[1]}"],
                "request_timeout_seconds": 3,
                "tls": {"enabled": True, "ca_file": trusted and str(trusted)},
            }
        )
        with pytest.raises(SourceError) as raised:
            KafkaSource(kafka, Section())
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    return type(raised.value), str(raised.value)


def test_s1_broker_with_a_valid_certificate_is_accepted(identity: Identity) -> None:
    server = identity()
    kind, _ = refusal(server, trusted=server)
    assert kind is BrokerUnreachable, "it proves to be it, but is no broker"


@pytest.mark.parametrize("case", ["unknown authority", "another host's name", "expired"])
def test_s1_broker_without_a_valid_certificate_is_rejected(identity: Identity, case: str) -> None:
    server = identity(
        name="elsewhere" if case == "another host's name" else "localhost", days=1 if case == "expired" else 30
    )

    def ask() -> None:
        kind, text = refusal(server, trusted=None if case == "unknown authority" else server)
        assert kind is AccessDenied
        assert "certificate rejected" in text

    undisturbed(ask)


def test_s1_password_over_an_unencrypted_connection_needs_explicit_permission() -> None:
    sasl = "sasl: {mechanism: PLAIN, username: u, password_env: P}"
    with pytest.raises(ConfigError, match="sasl without tls sends the password or token unencrypted"):
        parse(f"kafka: {{{sasl}}}", "test.yaml")
    assert parse(f"kafka: {{{sasl}, allow_plaintext_credentials: true}}", "test.yaml").kafka.sasl.username == "u"


def test_port_without_login_is_not_reported_as_a_wrong_password() -> None:
    told = translate(kafka_errors.IllegalSaslStateError(), "reading", Kafka(bootstrap_servers=["broker:9092"]))
    assert isinstance(told, AccessDenied)
    assert "broker:9092 has no login on that port" in str(told)
