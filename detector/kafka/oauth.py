"""SASL OAUTHBEARER (RFC 7628): the token that identifies us to a broker.

It comes from a file that something else keeps fresh and that is read for every login, or from a token endpoint (RFC
6749, section 4.4: client credentials). From the endpoint, a new token is requested when four fifths of the old one's
life have passed; if none can be had then, the old one is used for as long as it is valid.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from detector.config.sasl import OAuth
from detector.errors import DeliveryError
from detector.http.client import HttpClient, Words

FRESH_SHARE = 0.8
"""Share of a token's life during which it is fresh. The client library logs in again after 0.85 of the session lifetime
that a broker grants, or later; brokers grant what is left of the token."""
LARGEST_ANSWER_BYTES = 1 << 18
LONGEST_LIFE_SECONDS = 366 * 86_400.0
_SECTION = "kafka.sasl.oauth"
_WORDS = Words(
    _SECTION,
    f"{_SECTION}.token_url",
    "the token endpoint",
    credentials="client_id and client_secret_file",
    password="client_secret_file",
)
_FORM = "application/x-www-form-urlencoded"
_REFUSALS = (400, 401, 403)
"""RFC 6749, section 5.2 (400 and 401), and 403 Forbidden."""
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, section 2.1."""

log = logging.getLogger(__name__)
"""A standard library logger: in commands that set up no logging, it writes to standard error."""


class TokenDelayed(KafkaConnectionError):  # type: ignore[misc]  # the library has no types
    """There may be a token later. The library takes this for a lost connection and reconnects."""


class TokenRefused(SaslAuthenticationFailedError):  # type: ignore[misc]
    """There will be no token until somebody intervenes. The library takes this for a refusal by a broker."""


class Token(NamedTuple):
    """A token as sent to a broker, and until when, on the clock `now`, it is fresh and valid."""

    text: str
    fresh_until: float
    valid_until: float


class _Provider(AbstractTokenProvider):  # type: ignore[misc]
    """The extensions sent along with a token, wherever it comes from."""

    def __init__(self, extensions: Mapping[str, str]) -> None:
        self._extensions = dict(extensions)

    def extensions(self) -> dict[str, str]:
        return self._extensions


class TokenFile(_Provider):
    """A token file, read at every login, so it may be replaced at any time."""

    def __init__(self, path: str, extensions: Mapping[str, str]) -> None:
        super().__init__(extensions)
        self._path = path

    def token(self) -> str:
        """Raises TokenRefused."""
        try:
            text = Path(self._path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise TokenRefused(f"{_SECTION}.token_file: {self._path} cannot be read: {exc}") from exc
        if not _TOKEN.fullmatch(text):
            raise TokenRefused(f"{_SECTION}.token_file: {self._path} must hold a token and nothing else")
        return text


class TokenEndpoint(_Provider):
    """Requests tokens when needed. Belongs to one client, and so to one thread."""

    def __init__(self, oauth: OAuth, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(oauth.extensions)
        assert oauth.token_url is not None
        self._url = oauth.token_url
        form = {"grant_type": "client_credentials", "scope": oauth.scope, "audience": oauth.audience}
        self._form = urlencode({key: value for key, value in form.items() if value}).encode("ascii")
        self._client = HttpClient(oauth, _WORDS)
        self._now = now
        self._token = Token("", float("-inf"), float("-inf"))

    def token(self) -> str:
        """Raises TokenDelayed and TokenRefused."""
        now = self._now()
        if now >= self._token.fresh_until:
            try:
                self._token = self._ask(now)
            except (TokenDelayed, TokenRefused) as exc:
                if now >= self._token.valid_until:
                    raise
                left = self._token.valid_until - now
                log.warning("no new token yet (%s); the current one is valid for another %.0f s", exc, left)
        return self._token.text

    def _ask(self, now: float) -> Token:
        """A new token, whose life is counted from before the request."""
        try:
            answer = self._client.exchange("POST", self._url, self._url, self._form, LARGEST_ANSWER_BYTES, _FORM)
        except DeliveryError as exc:
            raise TokenDelayed(f"{_SECTION}: {exc}") from exc
        if not answer.accepted:
            kind = TokenRefused if answer.status in _REFUSALS else TokenDelayed
            raise kind(f"{_SECTION}: {self._client.refusal(self._url, self._url, answer)}")
        return _token(answer.body, now, f"{_SECTION}: {self._url}")


def tokens(oauth: OAuth) -> AbstractTokenProvider:
    """A Kafka client's `sasl_oauth_token_provider`."""
    return TokenEndpoint(oauth) if oauth.token_file is None else TokenFile(oauth.token_file, oauth.extensions)


def problems(oauth: OAuth) -> list[str]:
    """What is wrong with the files that tokens depend on, one line each."""
    if oauth.token_file is None:
        return HttpClient(oauth, _WORDS).problems()
    try:
        TokenFile(oauth.token_file, {}).token()
    except TokenRefused as exc:
        return [exc.args[0]]
    return []


def _token(body: bytes, now: float, where: str) -> Token:
    """Parse an endpoint's response (RFC 6749, section 5.1). Raises TokenRefused, which never reveals the token."""
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise TokenRefused(f"{where}: the answer is not JSON; check {_SECTION}.token_url") from exc
    text = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        raise TokenRefused(f"{where}: the answer holds no access_token; check {_SECTION}.token_url")
    kind = answer.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.casefold() != "bearer":
        raise TokenRefused(f"{where}: the token's type is not Bearer, the only one that Kafka accepts")
    life = answer.get("expires_in")
    if isinstance(life, str) and life.isascii() and life.isdigit():  # some endpoints quote it
        life = int(life)
    known = isinstance(life, int | float) and not isinstance(life, bool) and 0 < life < LONGEST_LIFE_SECONDS
    seconds = float(life) if known else 0.0
    return Token(text, now + FRESH_SHARE * seconds, now + seconds)
