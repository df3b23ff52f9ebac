"""The section `sinks.alertmanager`."""

from __future__ import annotations

import pytest

from detector.config import parse
from detector.errors import ConfigError


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http"])
def test_s1_credentials_over_plain_http_are_rejected_whatever_the_case_of_the_scheme(scheme: str) -> None:
    settings = f"urls: ['{scheme}://alertmanager:9093'], bearer_token_file: token"
    with pytest.raises(ConfigError, match="credentials for an http:// address are sent unencrypted"):
        parse(f"sinks: {{alertmanager: {{{settings}}}}}", "test")
    parse(f"sinks: {{alertmanager: {{{settings}, allow_plaintext_credentials: true}}}}", "test")
