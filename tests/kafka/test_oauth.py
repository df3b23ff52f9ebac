"""Tokens for SASL OAUTHBEARER; that real brokers take them is tested in tests/integration."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.net.sasl.oauth import SaslMechanismOAuth

from detector.config import parse
from detector.config.sasl import OAuth
from detector.config.schema import Kafka
from detector.errors import AccessDenied, BrokerUnreachable
from detector.kafka.client import translate
from detector.kafka.oauth import TokenDelayed, TokenEndpoint, TokenRefused, tokens
from tests.http_server import Said
from tests.issuer import SECRET, Issuer, oauth


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    numbers = itertools.count(1)
    with Issuer(lambda: (f"token-{next(numbers)}", 100.0)) as issuer:
        yield issuer


def endpoint(issuer: Issuer, folder: Path, clock: Clock | None = None, **more: object) -> TokenEndpoint:
    return TokenEndpoint(OAuth.model_validate({**oauth(issuer.url, folder), **more}), clock or Clock())


def test_token_is_renewed_after_four_fifths_of_its_life(issuer: Issuer, tmp_path: Path) -> None:
    clock = Clock()
    provider = endpoint(issuer, tmp_path, clock)
    assert [provider.token(), provider.token()] == ["token-1", "token-1"]
    clock.now += 79.9
    assert provider.token() == "token-1"
    clock.now += 0.2
    assert [provider.token(), provider.token()] == ["token-2", "token-2"]
    assert issuer.forms == [{"grant_type": "client_credentials"}] * 2


def test_token_request_has_scope_and_audience(issuer: Issuer, tmp_path: Path) -> None:
    endpoint(issuer, tmp_path, scope="kafka read/write", audience="https://kafka.example/ä").token()
    assert issuer.forms[0]["scope"] == "kafka read/write"
    assert issuer.forms[0]["audience"] == "https://kafka.example/ä"


def test_unreachable_endpoint_is_an_error_only_when_the_token_has_expired(
    issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    provider = endpoint(issuer, tmp_path, clock)
    provider.token()
    issuer.away = True
    clock.now += 90.0
    with caplog.at_level(logging.WARNING):
        assert provider.token() == "token-1"
    assert "no new token yet" in caplog.text
    assert "the current one is valid for another 10 s" in caplog.text
    clock.now += 10.0
    with pytest.raises(TokenDelayed, match=r"kafka\.sasl\.oauth: http.*check kafka\.sasl\.oauth\.token_url"):
        provider.token()
    issuer.away = False
    assert provider.token() == "token-2"


def test_token_without_a_known_life_is_used_once(issuer: Issuer, tmp_path: Path) -> None:
    provider = endpoint(issuer, tmp_path)
    for life in ({}, {"expires_in": None}, {"expires_in": "soon"}, {"expires_in": -5}, {"expires_in": True}):
        issuer.answer = Said(200, json.dumps({"access_token": "t", **life}).encode())
        asked = len(issuer.forms)
        assert [provider.token(), provider.token()] == ["t", "t"]
        assert len(issuer.forms) == asked + 2
    issuer.answer = Said(200, b'{"access_token": "t", "token_type": "bearer", "expires_in": "3600"}')
    assert [provider.token(), provider.token(), len(issuer.forms)] == ["t", "t", asked + 3]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(404), "answered 404; check kafka.sasl.oauth.token_url"),
        (
            Said(302, b"", {"Location": "https://login.example/"}),
            "it redirects to https://login.example/; use",
        ),
        (Said(503, b"later"), r"answered 503 \(later\)"),
    ],
)
def test_temporary_failure_of_the_endpoint_may_be_retried(
    issuer: Issuer, tmp_path: Path, said: Said, words: str
) -> None:
    issuer.answer = said
    with pytest.raises(TokenDelayed, match=words):
        endpoint(issuer, tmp_path).token()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            Said(401, b'{"error": "invalid_client"}'),
            "answered 401 .*check kafka.sasl.oauth.client_id and client",
        ),
        (Said(400, b'{"error": "invalid_scope"}'), 'answered 400 .{"error": "invalid_scope"}'),
        (Said(200, b"<html>canary</html>"), "the answer is not JSON; check kafka.sasl.oauth.token_url"),
        (Said(200, b"[" * 100_000), "the answer is not JSON"),
        (Said(200, b'["canary"]'), "the answer holds no access_token"),
        (Said(200, b'{"access_token": ""}'), "the answer holds no access_token"),
        (Said(200, b'{"access_token": 5}'), "the answer holds no access_token"),
        (Said(200, b'{"access_token": "canary\\u0001auth=x"}'), "the answer holds no access_token"),
        (Said(200, b'{"access_token": "canary", "token_type": "mac"}'), "type is not Bearer"),
        (Said(200, b'{"access_token": "canary", "token_type": null}'), "type is not Bearer"),
    ],
)
def test_answer_without_a_token_is_an_error_that_quotes_nothing_secret(
    issuer: Issuer, tmp_path: Path, said: Said, words: str
) -> None:
    issuer.answer = said
    with pytest.raises(TokenRefused, match=words) as raised:
        endpoint(issuer, tmp_path).token()
    assert "canary" not in str(raised.value)


def test_s3_secret_echoed_by_the_endpoint_is_not_in_the_error(issuer: Issuer, tmp_path: Path) -> None:
    issuer.answer = Said(400, f"no such secret: {SECRET}".encode())
    with pytest.raises(TokenRefused) as raised:
        endpoint(issuer, tmp_path).token()
    assert SECRET not in str(raised.value)


def test_unreadable_secret_file_is_named_by_its_key(issuer: Issuer, tmp_path: Path) -> None:
    provider = endpoint(issuer, tmp_path)
    (tmp_path / "secret").unlink()
    with pytest.raises(TokenDelayed, match=r"kafka\.sasl\.oauth\.client_secret_file: .*/secret cannot be read"):
        provider.token()


def test_token_file_is_read_for_every_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    provider = tokens(OAuth(token_file=str(path)))
    with pytest.raises(TokenRefused, match=r"kafka\.sasl\.oauth\.token_file: .*/token cannot be read"):
        provider.token()
    path.write_text("first.token_~+/==\n")
    assert provider.token() == "first.token_~+/=="
    path.write_text("second")
    assert provider.token() == "second"
    for wrong in (b"", b"canary canary", b"Bearer canary", b"canary\x01auth=x", b"\xffcanary", b"can=ary"):
        path.write_bytes(wrong)
        with pytest.raises(TokenRefused) as raised:
            provider.token()
        assert "canary" not in str(raised.value)


def test_broker_gets_token_and_extensions(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    extensions = {"logicalCluster": "lkc-1", "identityPoolId": "pool-a b"}
    provider = tokens(OAuth(token_file=str(tmp_path / "token"), extensions=extensions))
    said = SaslMechanismOAuth(sasl_oauth_token_provider=provider).auth_bytes()
    assert said == b"n,,\x01auth=Bearer t\x01logicalCluster=lkc-1\x01identityPoolId=pool-a b\x01\x01"


def test_delayed_token_is_broker_unreachable_and_refused_token_is_access_denied() -> None:
    kafka = parse("kafka: {bootstrap_servers: ['broker:9092']}", "test.yaml").kafka
    assert isinstance(kafka, Kafka)
    delayed, refused = (translate(kind("why"), "reading m", kafka) for kind in (TokenDelayed, TokenRefused))
    assert isinstance(delayed, BrokerUnreachable)
    assert isinstance(refused, AccessDenied)
    assert str(delayed) == str(refused) == "reading m: broker:9092: no token to log in with: why"
