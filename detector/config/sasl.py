"""The section `kafka.sasl` of `config.yaml`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import field_validator, model_validator

from detector.config.http import address_problem, require_access
from detector.config.values import FilePath, PositiveSeconds, Section

EXAMPLE = "https://login.example/oauth2/token"
_EXTENSION_NAME = re.compile("[A-Za-z]+")
_EXTENSION_VALUE = re.compile(r"[\x21-\x7e \t\r\n]*")
"""The characters that RFC 7628 (section 3.1) allows in a value."""


class OAuth(Section):
    """Where tokens come from: a file that another program refreshes, or an OAuth 2.0 token endpoint."""

    token_file: FilePath | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret_file: FilePath | None = None
    scope: str | None = None
    audience: str | None = None
    extensions: dict[str, str] = {}
    timeout_seconds: PositiveSeconds = 10.0
    ca_file: FilePath | None = None
    allow_plaintext_credentials: bool = False

    @property
    def username(self) -> str | None:
        """The client's id, in HTTP's terms."""
        return self.client_id

    @property
    def password_file(self) -> str | None:
        """The client's secret, in HTTP's terms."""
        return self.client_secret_file

    @property
    def bearer_token_file(self) -> str | None:
        """None: the token is what we request."""
        return None

    @field_validator("token_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None and (problem := address_problem(url, "client_id and client_secret_file")):
            raise ValueError(f"{problem}; write it as {EXAMPLE}")
        return url

    @field_validator("client_id")
    @classmethod
    def _without_colon(cls, client_id: str | None) -> str | None:
        if client_id is not None and ":" in client_id:
            raise ValueError("contains a colon, which HTTP does not allow in a user name")
        return client_id

    @field_validator("extensions")
    @classmethod
    def _as_sent(cls, extensions: dict[str, str]) -> dict[str, str]:
        for name, value in extensions.items():
            if name == "auth" or not _EXTENSION_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid extension name: use letters; 'auth' is reserved")
            if not _EXTENSION_VALUE.fullmatch(value):
                raise ValueError(f"the value of {name} contains a character that cannot be sent")
        return extensions

    @model_validator(mode="after")
    def _complete(self) -> OAuth:
        if self.token_file is not None and self.token_url is not None:
            raise ValueError("token_file and token_url are two ways to get a token: leave one out")
        if (self.client_id is None) != (self.client_secret_file is None):
            raise ValueError("client_id and client_secret_file go together")
        if self.token_url is not None and self.client_id is None:
            raise ValueError("token_url is set, so client_id and client_secret_file are needed")
        require_access(self, [] if self.token_url is None else [self.token_url])
        return self


class Sasl(Section):
    """How we log in to the broker. Secrets are given by reference, never in the file itself."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    username: str | None = None
    password_file: str | None = None
    password_env: str | None = None
    oauth: OAuth = OAuth()

    @model_validator(mode="after")
    def _complete(self) -> Sasl:
        if self.mechanism is None:
            return self
        if self.mechanism == "OAUTHBEARER":
            return self._with_tokens()
        if not self.username:
            raise ValueError("mechanism is set, so username is needed")
        if (self.password_file is None) == (self.password_env is None):
            raise ValueError("mechanism is set, so exactly one of password_file and password_env is needed")
        return self

    def _with_tokens(self) -> Sasl:
        if self.username or self.password_file or self.password_env:
            raise ValueError("with mechanism OAUTHBEARER the token is the login: leave out username and password")
        if self.oauth.token_file is None and self.oauth.token_url is None:
            raise ValueError(
                "mechanism is OAUTHBEARER, so oauth.token_file (a file that another program keeps up to date) or "
                f"oauth.token_url (such as {EXAMPLE}) is needed"
            )
        return self
