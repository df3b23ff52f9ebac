"""The section `sinks.webhook`."""

from __future__ import annotations

import pytest

from detector.config import Config, parse
from detector.errors import ConfigError


def with_webhook(settings: str, rest: str = "") -> Config:
    return parse(f"sinks: {{webhook: {{{settings}}}}}\n{rest}", "test.yaml")


def findings(settings: str, rest: str = "") -> list[str]:
    with pytest.raises(ConfigError) as raised:
        with_webhook(settings, rest)
    return raised.value.findings


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://[::1]:8080/a?b=c",
        "HTTPS://example.com/services/T0/B0?x=%20y",
        "http://localhost/",
    ],
)
def test_url_may_have_path_and_query(url: str) -> None:
    assert with_webhook(f"enabled: true, url: '{url}'").sinks.webhook.url == url


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ("enabled: true", "sinks.webhook: enabled, so url must be the receiver's address, such as https://"),
        ("url: 'https://a', url_file: a", "sinks.webhook: url and url_file are two ways to give the address"),
        ("url: 'example.com/canary'", "sinks.webhook.url: is neither http:// nor https://; write it as https://"),
        ("url: 'ftp://example.com/canary'", "sinks.webhook.url: is neither http:// nor https://"),
        ("url: 'https:///canary'", "sinks.webhook.url: does not name a valid host"),
        ("url: 'https://a b/canary'", "sinks.webhook.url: does not name a valid host"),
        ("url: 'https://exämple.com/canary'", "sinks.webhook.url: does not name a valid host"),
        ("url: 'https://a:0/canary'", "sinks.webhook.url: does not name a valid host"),
        ("url: 'https://a:99999/canary'", "sinks.webhook.url: is not a valid address (Port out of range"),
        ("url: 'https://ali:canary/word@a'", "sinks.webhook.url: is not a valid address; write it as https://"),
        ("url: 'https://ali:canary@a/b'", "sinks.webhook.url: contains credentials, which must be given by reference"),
        ("url: 'https://a/canary#b'", "sinks.webhook.url: has a fragment"),
        ('url: "https://a/canary\\0"', "sinks.webhook.url: contains a NUL character"),
        ("url: ['https://a/canary']", "sinks.webhook.url: input should be a valid string"),
        ("url_file: /", "sinks.webhook.url_file: does not name a file"),
        ("username: a", "sinks.webhook: username and password_file go together"),
        (
            "url: 'https://a/canary', bearer_token_file: t, username: a, password_file: b",
            "sinks.webhook: bearer_token_file and username are two ways to log in: leave one out",
        ),
    ],
)
def test_s3_invalid_section_is_an_error_that_quotes_no_part_of_a_url(settings: str, finding: str) -> None:
    (found,) = findings(settings)
    assert found.startswith(finding)
    assert "canary" not in found


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
@pytest.mark.parametrize("secret", ["bearer_token_file: t", "username: a, password_file: b"])
def test_s1_credentials_over_plain_http_need_explicit_permission(scheme: str, secret: str) -> None:
    settings = f"url: '{scheme}://a/b', {secret}"
    (found,) = findings(settings)
    assert found.startswith("sinks.webhook: credentials for an http:// address are sent unencrypted")
    with_webhook(f"{settings}, allow_plaintext_credentials: true")


def test_watchdog_timeout_must_exceed_the_wait_for_the_receiver() -> None:
    settings = "url: 'https://a', timeout_seconds: 20, delivery_timeout_seconds: 100"
    with_webhook(settings)
    with_webhook(f"enabled: true, {settings}", "watchdog: {stall_seconds: 121}")
    (found,) = findings(f"enabled: true, {settings}")
    assert found.startswith("watchdog.stall_seconds: 120 would end a worker that waits for an acknowledgement")
    assert "may take 120 s" in found


@pytest.mark.parametrize(
    "wait", ["sinks: {kafka: {delivery_timeout_seconds: 60}}", "state: {flush_timeout_seconds: 60}"]
)
def test_max_poll_interval_must_exceed_the_wait_for_acknowledgements(wait: str) -> None:
    def config(longest_poll: int, source: str) -> str:
        polls = f"kafka: {{max_poll_interval_seconds: {longest_poll}}}"
        return f"source: {{type: {source}, {polls}, file: {{paths: [a]}}}}\n{wait}"

    parse(config(61, "kafka"), "test.yaml")
    parse(config(60, "file"), "test.yaml")
    with pytest.raises(ConfigError, match="max_poll_interval_seconds: a worker may wait 60 s for an acknowledgement"):
        parse(config(60, "kafka"), "test.yaml")


def test_s3_malformed_list_of_urls_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as raised:
        parse("sinks: {alertmanager: {urls: 'https://ali:canary@a'}}", "test.yaml")
    (found,) = raised.value.findings
    assert found == "sinks.alertmanager.urls: must be a list of addresses"
