"""Real brokers that accept tokens (OAUTHBEARER) of one issuer while they are valid."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from detector.config.schema import Kafka
from detector.config.schema import KafkaSource as Section
from detector.errors import AccessDenied, BrokerUnreachable
from tests.http_server import Said
from tests.integration.daemon import Daemon
from tests.integration.test_kafka_security import ADMIN, LOGIN, refusal
from tests.issuer import SECRET, Issuer, oauth
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import eventually

pytestmark = pytest.mark.integration

LIFE_SECONDS = 8.0
"""Of a token; a new one is asked for after four fifths of it."""
VALIDATOR = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
MODULE = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"


def encoded(data: bytes) -> str:
    """As RFC 7515 writes it."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


class Key:
    """Signs tokens (RFC 7519, RS256), and is known to brokers by its file of public keys."""

    def __init__(self, folder: Path) -> None:
        self._private = folder / "key.pem"
        self.public = folder / "jwks.json"
        openssl("genrsa", "-out", str(self._private), "2048")
        said = openssl("rsa", "-in", str(self._private), "-noout", "-modulus").decode("ascii")
        modulus = encoded(bytes.fromhex(said.strip().partition("=")[2]))
        key = {"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "n": modulus, "e": encoded(b"\1\0\1")}
        self.public.write_text(json.dumps({"keys": [key]}))

    def token(self, seconds: float) -> str:
        """Whole seconds, as brokers read them."""
        now = int(time.time())
        claims = {"sub": "detector", "iat": now, "exp": now + int(seconds), "scope": "kafka"}
        parts = ({"alg": "RS256", "kid": "k", "typ": "JWT"}, claims)
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encoded(openssl('dgst', '-sha256', '-sign', str(self._private), given=signed))}"


def openssl(*arguments: str, given: str = "") -> bytes:
    """What it writes."""
    done = subprocess.run(["openssl", *arguments], input=given.encode("ascii"), capture_output=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return Key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def cluster(make_module_cluster: Callable[..., Cluster], key: Key) -> Iterator[Cluster]:
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={key.public.as_uri()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", allowed)
        yield oauth_cluster(make_module_cluster, key)


def oauth_cluster(make: Callable[..., Cluster], key: Key) -> Cluster:
    """Logs in clients with tokens that the key has signed, and the administration with a password."""
    return make(
        client_protocol="SASL_PLAINTEXT",
        client_options={"security.protocol": "SASL_PLAINTEXT", **ADMIN},
        properties={
            "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            "listener.name.client.plain.sasl.jaas.config": LOGIN,
            "listener.name.client.oauthbearer.sasl.jaas.config": MODULE,
            "listener.name.client.oauthbearer.sasl.server.callback.handler.class": VALIDATOR,
            "sasl.oauthbearer.jwks.endpoint.url": key.public.as_uri(),
            # By default 4.1.0 believes whatever a token says, whoever has signed it.
            "sasl.oauthbearer.jwt.validator.class": "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator",
            # A connection ends with its token, unless it has logged in with a new one by then.
            "connections.max.reauth.ms": 3_600_000,
        },
    )


@pytest.fixture
def issuer(key: Key) -> Iterator[Issuer]:
    with Issuer(lambda: (key.token(LIFE_SECONDS), LIFE_SECONDS)) as issuer:
        yield issuer


def settings(cluster: Any, section: dict[str, object]) -> dict[str, Any]:
    return {
        "bootstrap_servers": [cluster.bootstrap],
        "request_timeout_seconds": 8.0,
        "allow_plaintext_credentials": True,
        "sasl": {"mechanism": "OAUTHBEARER", "oauth": section},
    }


def test_s2_every_reason_for_a_rejected_token_is_named(cluster: Any, issuer: Issuer, tmp_path: Path) -> None:
    topic = cluster.endpoint.create_topic()
    section = Section(topics=[topic], group_id="group", start="earliest")

    def told(oauth_section: dict[str, object], words: str) -> Any:
        return refusal(Kafka(**settings(cluster, oauth_section)), section, words)

    path = tmp_path / "token"
    (tmp_path / "foreign").mkdir()
    path.write_text(Key(tmp_path / "foreign").token(600.0))
    foreign = told({"token_file": str(path)}, "uthentication")
    assert isinstance(foreign, AccessDenied)
    assert path.read_text() not in str(foreign)
    path.unlink()
    missing = told({"token_file": str(path)}, "token_file")
    assert isinstance(missing, AccessDenied)
    assert f"no token to log in with: kafka.sasl.oauth.token_file: {path} cannot be read" in str(missing)

    wrong = told(oauth(issuer.url, tmp_path, secret="w-r-o-n-g"), "answered 401")
    assert isinstance(wrong, AccessDenied)
    assert "check kafka.sasl.oauth.client_id and client_secret_file" in str(wrong)
    issuer.answer = Said(503)
    busy = told(oauth(issuer.url, tmp_path), "answered 503")
    assert isinstance(busy, BrokerUnreachable)
    assert f"no token to log in with: kafka.sasl.oauth: {issuer.url}: answered 503" in str(busy)


def test_s1_s3_daemon_survives_expiring_tokens_and_an_outage_of_the_issuer(
    cluster: Any, issuer: Issuer, tmp_path: Path
) -> None:
    endpoint = cluster.endpoint
    metrics, dead, alerts, state = (endpoint.create_topic(cleanup_policy="compact") for _ in range(4))
    config = {
        "kafka": settings(cluster, oauth(issuer.url, tmp_path)),
        "source": {"kafka": {"topics": [metrics], "start": "earliest"}},
        "sinks": {"kafka": {"topic": alerts}},
        "state": {"type": "kafka", "kafka": {"topic": state}},
        "dead_letter": {"topic": dead},
        "checkpoint": {"interval_seconds": 0.5, "shutdown_timeout_seconds": 20.0},
        "telemetry": {"log_level": "debug"},
    }
    sent = 0

    def send_until(done: Callable[[], bool], what: str) -> None:
        def sent_and_done() -> bool:
            nonlocal sent
            sample = json.dumps({"name": "m", "timestamp": 1e9 + sent, "value": 1})
            endpoint.produce(metrics, [(b"k", sample.encode("ascii")), (b"k", b"{poison")])
            sent += 2
            time.sleep(0.5)
            return done()

        eventually(sent_and_done, what)

    with Daemon(tmp_path, config) as daemon:

        def consumed() -> bool:
            return daemon.metric("detector_samples_consumed_total") == sent

        daemon.wait_until_ready()
        clients, began = len(issuer.forms), time.monotonic()
        send_until(lambda: len(issuer.forms) >= 2 * clients, "each client has asked again")
        assert time.monotonic() - began > 0.5 * LIFE_SECONDS, "because its token would have expired"
        eventually(consumed, "all is read, though tokens have expired")
        issuer.away = True
        send_until(lambda: "TokenDelayed" in daemon.log.read_text(), "there is no token to log in with")
        issuer.away = False
        eventually(consumed, "all is read once there are tokens again")
        assert daemon.terminate() == 0
        assert endpoint.end_offset(dead) == sent / 2
        emitted = daemon.log.read_text()
    assert SECRET not in emitted
    assert base64.b64encode(f"detector:{SECRET}".encode()).decode() not in emitted
    header = encoded(b'{"alg": "RS256"')[:16]
    assert header not in emitted, "a token"
