"""The section `sinks.alertmanager` of `config.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from detector.config.values import PositiveSeconds, Section

BoardName = Literal["alertmanager"]


class Alertmanager(Section):
    """Open alerts, repeated to Alertmanagers. Secrets come by reference, never in the file itself."""

    enabled: bool = False
    urls: list[str] = []
    resend_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    timeout_seconds: PositiveSeconds = 10.0
    max_alerts: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    bearer_token_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    allow_plaintext_credentials: bool = False

    @field_validator("urls")
    @classmethod
    def _base_addresses(cls, urls: list[str]) -> list[str]:
        """The list is judged as a whole: of a single value that is wrong the error shows all, a password too."""
        for number, url in enumerate(urls):
            trouble = _trouble(url)
            if trouble:
                raise ValueError(f"number {number + 1} {trouble}; write it as http://alertmanager:9093")
        plain = [url.rstrip("/") for url in urls]
        if len(set(plain)) != len(plain):
            raise ValueError("names an Alertmanager twice")
        return plain

    @model_validator(mode="after")
    def _complete(self) -> Alertmanager:
        if self.enabled and not self.urls:
            raise ValueError("enabled, so urls must name an Alertmanager, such as http://alertmanager:9093")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        if self.bearer_token_file is not None and self.username is not None:
            raise ValueError("bearer_token_file and username are two ways to log in: leave one out")
        secret = self.bearer_token_file or self.username
        if secret and not self.allow_plaintext_credentials and any(urlsplit(url).scheme == "http" for url in self.urls):
            raise ValueError(
                "credentials for an http:// address are sent readably: use https://, "
                "or allow_plaintext_credentials: true if the network is trusted"
            )
        return self


def _trouble(url: str) -> str | None:
    """What is wrong with a base address, without its text."""
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        return f"is no address ({exc})"
    if parts.scheme not in ("http", "https"):
        return "is neither http:// nor https://"
    if not named or not url.isascii() or not url.isprintable() or " " in url:
        return "is no address of a host"
    if "@" in parts.netloc:
        return "holds credentials, which come by reference: bearer_token_file, or username and password_file"
    if "?" in url or "#" in url:
        return "has a query or a fragment"
    if re.search(r"/api(/v[12](/alerts)?)?/?$", parts.path):
        return "goes on to the API, which is found below the base address"
    return None
