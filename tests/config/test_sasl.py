"""The section `kafka.sasl`."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.config import Config, parse
from detector.config.files import unreadable
from detector.errors import ConfigError

ENDPOINT = "token_url: 'https://login.example/token', client_id: a, client_secret_file: b"


def with_oauth(settings: str, rest: str = "") -> Config:
    return parse(f"kafka: {{tls: {{enabled: true}}, sasl: {{{rest}oauth: {{{settings}}}}}}}", "test.yaml")


def findings(settings: str, rest: str = "") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        with_oauth(settings, rest)
    return raised.value.findings


@pytest.mark.parametrize("settings", ["token_file: a", ENDPOINT, f"{ENDPOINT}, extensions: {{logicalCluster: lkc-1}}"])
def test_token_comes_from_a_file_or_an_endpoint(settings: str) -> None:
    assert with_oauth(settings, "mechanism: OAUTHBEARER, ").kafka.sasl.mechanism == "OAUTHBEARER"


@pytest.mark.parametrize(
    ("settings", "rest", "finding"),
    [
        (
            "",
            "",
            "kafka.sasl: mechanism is OAUTHBEARER, so oauth.token_file (a file",
        ),
        ("token_file: a", "username: b, ", "kafka.sasl: with mechanism OAUTHBEARER the token is the login"),
        ("token_file: a", "password_env: B, ", "kafka.sasl: with mechanism OAUTHBEARER the token is the login"),
        (f"token_file: a, {ENDPOINT}", "", "kafka.sasl.oauth: token_file and token_url are two ways to get a token"),
        ("token_url: 'https://a'", "", "kafka.sasl.oauth: token_url is set, so client_id and client_secret_file are"),
        ("token_file: a, client_id: a", "", "kafka.sasl.oauth: client_id and client_secret_file go together"),
        (
            ENDPOINT.replace("https", "http"),
            "",
            "kafka.sasl.oauth: credentials for an http:// address are",
        ),
        (
            "token_url: 'https://a:canary@b'",
            "",
            "kafka.sasl.oauth.token_url: contains credentials, which must be given by",
        ),
        ("token_url: login", "", "kafka.sasl.oauth.token_url: is neither http:// nor https://; write it as https://"),
        (ENDPOINT.replace("client_id: a", "client_id: 'a:b'"), "", "kafka.sasl.oauth.client_id: contains a colon"),
        ("token_file: a, extensions: {auth: x}", "", "kafka.sasl.oauth.extensions: 'auth' is not a valid extension"),
        ("token_file: a, extensions: {a_b: x}", "", "kafka.sasl.oauth.extensions: 'a_b' is not a valid extension"),
        ('token_file: a, extensions: {a: "x\\u0001y"}', "", "kafka.sasl.oauth.extensions: the value of a contains a"),
    ],
)
def test_s3_invalid_section_is_an_error_that_quotes_no_part_of_a_url(settings: str, rest: str, finding: str) -> None:
    found = findings(settings, f"mechanism: OAUTHBEARER, {rest}")
    assert any(line.startswith(finding) for line in found), found
    assert "canary" not in "".join(found)


def test_s1_token_over_an_unencrypted_connection_needs_explicit_permission() -> None:
    kafka = "sasl: {mechanism: OAUTHBEARER, oauth: {token_file: a}}"
    with pytest.raises(ConfigError, match="sasl without tls sends the password or token unencrypted"):
        parse(f"kafka: {{{kafka}}}", "test.yaml")
    assert parse(f"kafka: {{{kafka}, allow_plaintext_credentials: true}}", "test.yaml").kafka.sasl.oauth.token_file


def test_missing_files_are_named(tmp_path: Path) -> None:
    config = with_oauth(ENDPOINT.replace(": b", f": '{tmp_path}/b'"), "mechanism: OAUTHBEARER, ")
    assert unreadable(config) == [f"kafka.sasl.oauth.client_secret_file: {tmp_path}/b: no such file"]
    config = with_oauth(f"token_file: '{tmp_path}/c'", "mechanism: OAUTHBEARER, ")
    assert unreadable(config) == [f"kafka.sasl.oauth.token_file: {tmp_path}/c: no such file"]
