"""The section `sinks.webhook` of `config.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from detector.config.http import address_problem, require_access
from detector.config.values import FilePath, PositiveSeconds, Section

EXAMPLE = "https://receiver.example/alerts"


class Webhook(Section):
    """Posts every change of an alert to one address. Secrets are given by reference; the address may be one."""

    enabled: bool = False
    url: str | None = None
    url_file: FilePath | None = None
    max_alerts_per_request: Annotated[int, Field(ge=1, le=1_000)] = 100
    max_in_flight: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    timeout_seconds: PositiveSeconds = 10.0
    delivery_timeout_seconds: PositiveSeconds = 60.0
    bearer_token_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    allow_plaintext_credentials: bool = False

    @property
    def given_up_after_seconds(self) -> float:
        """The last request begins when `delivery_timeout_seconds` have passed, at the latest."""
        return self.delivery_timeout_seconds + self.timeout_seconds

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None and (problem := address_problem(url)):
            raise ValueError(f"{problem}; write it as {EXAMPLE}")
        return url

    @model_validator(mode="after")
    def _complete(self) -> Webhook:
        if self.url is not None and self.url_file is not None:
            raise ValueError("url and url_file are two ways to give the address: leave one out")
        if self.enabled and self.url is None and self.url_file is None:
            raise ValueError(
                f"enabled, so url must be the receiver's address, such as {EXAMPLE}, or url_file a file that has it"
            )
        require_access(self, [] if self.url is None else [self.url])
        return self
