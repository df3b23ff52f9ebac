"""The section `sinks.alertmanager` of `config.yaml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from detector.config.http import base_addresses, require_access
from detector.config.values import PositiveSeconds, Section

BoardName = Literal["alertmanager"]


class Alertmanager(Section):
    """Alertmanagers to which open alerts are repeated. Secrets are given by reference, never in the file itself."""

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
        return base_addresses(urls, "http://alertmanager:9093", "an Alertmanager", _beyond_base)

    @model_validator(mode="after")
    def _complete(self) -> Alertmanager:
        if self.enabled and not self.urls:
            raise ValueError("enabled, so urls must name an Alertmanager, such as http://alertmanager:9093")
        require_access(self, self.urls)
        return self


def _beyond_base(url: str) -> str | None:
    if re.search(r"/api(/v[12](/alerts)?)?/?$", urlsplit(url).path):
        return "includes the path of the API, which is appended to the base address"
    return None
