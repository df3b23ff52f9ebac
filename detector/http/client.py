"""HTTP client: one request per connection, bounded in time, with TLS verified, without redirects or proxies."""

from __future__ import annotations

import base64
import email.utils
import http.client
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from detector.config.http import Access
from detector.errors import DeliveryError
from detector.http.connection import TimedConnection

JSON = "application/json"
_CONTENT_REFUSED = (400, 413, 422)
"""Statuses that refuse this request's content; another request may well be accepted."""
_LONGEST_ANSWER = 2_048
_LONGEST_LINE = 200
_SHORTEST_SECRET = 4
_BROKEN = (OSError, http.client.HTTPException, ValueError)
"""What a failed request raises; http.client lets the ValueError of a malformed chunk size through."""


@dataclass(frozen=True, slots=True)
class Words:
    """How error messages refer to the server and its settings."""

    section: str
    """Dotted path of the configuration section."""
    address: str
    """The keys that hold the address."""
    server: str
    below: str = ""
    """Appended to the hint for an address that leads nowhere."""
    credentials: str = "bearer_token_file, username and password_file"
    """The keys that hold the credentials."""
    password: str = "password_file"
    """The key that names the password file."""
    secret_path: bool = False
    """Whether path and query of the address are kept out of all messages."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whatever its status."""

    status: int
    body: bytes
    """The beginning of the body."""
    location: str
    """Where it redirects to."""
    retry_after_seconds: float
    """How long the server asks us to wait."""

    @property
    def accepted(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class HttpClient:
    """An HTTP client. Files with secrets are read again for every request, so they may be replaced at any time."""

    def __init__(self, section: Access, words: Words) -> None:
        self._section = section
        self._words = words
        self._context: ssl.SSLContext | None = None
        self._connection: TimedConnection | None = None
        self._aborted = False
        self._secrets: tuple[str, ...] = ()
        """Credentials sent with the last request, in every form they took."""

    def post(self, url: str, body: bytes, shown: str) -> None:
        """Raises DeliveryError, `retriable` unless this body is refused. Errors show the address as `shown`."""
        answer = self.exchange("POST", url, shown, body)
        if not answer.accepted:
            raise self.refusal(url, shown, answer)

    def exchange(
        self, method: str, url: str, shown: str, body: bytes | None = None, longest: int = 0, kind: str = JSON
    ) -> Answer:
        """Send one request with content type `kind`; of an accepted response's body, read up to `longest` bytes.

        Raises DeliveryError if there is no response within `timeout_seconds`, counted from before connecting, or if a
        file of secrets or certificates cannot be used.
        """
        parts = urlsplit(url)
        headers = {"User-Agent": "detector", **self.credentials()}
        if body is not None:
            headers["Content-Type"] = kind
        connection = self._connection = self.connection(parts)
        try:
            with self._response(connection, method, parts, body, headers) as response:
                text = _beginning(response, longest)
        except _BROKEN as exc:
            self._context = None
            raise DeliveryError(f"{shown}: {self._cause(exc, parts, connection)}") from exc
        finally:
            connection.close()
        location, pause = response.getheader("Location") or "", response.getheader("Retry-After") or ""
        return Answer(response.status, text, location, _retry_after_seconds(pause))

    def refusal(self, url: str, shown: str, answer: Answer) -> DeliveryError:
        """The error for a response that is not 2xx, `retriable` unless this very request was refused."""
        words, status, parts = self._words, answer.status, urlsplit(url)
        detail = self._quotable(answer.body.decode("utf-8", "replace"), parts)
        said = f"{shown}: answered {status}" + (f" ({detail})" if detail else "")
        if 300 <= status < 400:
            where = "" if words.secret_path else self._quotable(answer.location, parts)
            said += f"; it redirects to {where or origin(_first_line(answer.location))}; use that in {words.address}"
        elif status in (401, 403):
            said += f"; check {words.section}.{words.credentials}"
        elif status in (404, 405, 410):
            said += f"; check {words.address}{words.below}"
        return DeliveryError(
            said, retriable=status not in _CONTENT_REFUSED, retry_after_seconds=answer.retry_after_seconds
        )

    def abort(self) -> None:
        """Make the request in progress fail, and every later one. Callable from any thread."""
        self._aborted = True
        if self._connection is not None:
            self._connection.abort()

    def connection(self, parts: SplitResult) -> TimedConnection:
        """A connection that is not yet open. Raises DeliveryError."""
        secure = parts.scheme == "https"
        return TimedConnection(
            parts.hostname or "",
            parts.port or (443 if secure else 80),
            self._section.timeout_seconds,
            self.trusted() if secure else None,
        )

    def trusted(self) -> ssl.SSLContext:
        """The TLS context that verifies certificates. Raises DeliveryError."""
        ca_file = self._section.ca_file
        try:
            self._context = self._context or ssl.create_default_context(cafile=ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise DeliveryError(
                f"{self._words.section}.ca_file: {ca_file} cannot be used: {exc}; it must hold certificates (PEM)"
            ) from exc
        return self._context

    def credentials(self) -> dict[str, str]:
        """The header with the credentials, empty if there are none. Raises DeliveryError."""
        section = self._section
        if section.bearer_token_file is not None:
            token = self.secret("bearer_token_file", section.bearer_token_file)
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                holds = "holds more than a token" if token else "is empty; write the token into it"
                raise DeliveryError(f"{self._words.section}.bearer_token_file: {section.bearer_token_file} {holds}")
            self._secrets = (token,)
            return {"Authorization": f"Bearer {token}"}
        if section.username is not None and section.password_file is not None:
            password = self.secret(self._words.password, section.password_file)
            encoded = base64.b64encode(f"{section.username}:{password}".encode()).decode("ascii")
            self._secrets = (password, encoded)
            return {"Authorization": f"Basic {encoded}"}
        return {}

    def problems(self) -> list[str]:
        """What is wrong with the configured files of secrets and certificates, one line each."""
        checks: list[Callable[[], object]] = [self.credentials]
        if self._section.ca_file is not None:
            checks.append(self.trusted)
        found = []
        for check in checks:
            try:
                check()
            except DeliveryError as exc:
                found.append(str(exc))
        return found

    def secret(self, key: str, path: str) -> str:
        """The content of a file, without trailing line breaks. Raises DeliveryError."""
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError as exc:
            raise DeliveryError(f"{self._words.section}.{key}: {path} is not UTF-8 text") from exc
        except OSError as exc:
            raise DeliveryError(f"{self._words.section}.{key}: {path} cannot be read: {exc}") from exc

    def _response(
        self,
        connection: TimedConnection,
        method: str,
        parts: SplitResult,
        body: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        connection.connect()
        if self._aborted:
            raise ConnectionAbortedError("closed")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with suppress(BrokenPipeError, ConnectionResetError):  # the server may have answered and hung up early
            connection.request(method, target, body, headers)
        return connection.getresponse()

    def _cause(self, exc: Exception, parts: SplitResult, connection: TimedConnection) -> str:
        words = self._words
        if isinstance(exc, ssl.SSLCertVerificationError):
            return f"certificate rejected ({exc.verify_message}); check {words.section}.ca_file and host name"
        if isinstance(exc, TimeoutError) and exc.errno is None:
            within = f"{self._section.timeout_seconds:g} s ({words.section}.timeout_seconds)"
            cause = f"within {within}: timed out while {connection.deadline.step}"
        else:
            detail = self._quotable(str(exc), parts)
            shown = f": {detail}" if detail else ""
            cause = f"({type(exc).__name__}{shown})"
        return f"no answer {cause}; check {words.address} and that {words.server} listens there"

    def _quotable(self, text: str, parts: SplitResult) -> str:
        """The first line of what a server wrote; empty if it gives away credentials or part of a secret address."""
        line = _first_line(text)
        return "" if self._repeats(line, parts) else line

    def _repeats(self, line: str, parts: SplitResult) -> bool:
        pieces = re.split("[/?&=;]", f"{parts.path}?{parts.query}") if self._words.secret_path else []
        forms = [*self._secrets, *pieces, *map(unquote, pieces)]
        return any(len(form) >= _SHORTEST_SECRET and _gives_away(line, form) for form in forms)


def origin(url: str) -> str:
    """The part of an address that may be shown when its path is a secret.

    >>> origin("https://hooks.example.com:8443/services/T0/B1?token=c2")
    'https://hooks.example.com:8443'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "elsewhere"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "elsewhere"


def _beginning(response: http.client.HTTPResponse, longest: int) -> bytes:
    """Up to `longest` bytes of an accepted response; of any other, what can be read, since its status says enough."""
    if 200 <= response.status < 300:
        return _at_most(response, longest) if longest else b""  # reading 0 bytes would still wait for a chunk
    try:
        return _at_most(response, _LONGEST_ANSWER)
    except _BROKEN:
        return b""


def _at_most(response: http.client.HTTPResponse, longest: int) -> bytes:
    """Up to `longest` bytes, read into a buffer: `read` would return all of a chunk of size -1, whatever the limit."""
    buffer = bytearray(longest)
    return bytes(buffer[: response.readinto(buffer)])


def _retry_after_seconds(header: str) -> float:
    """Parse a Retry-After header, which holds seconds or a date; 0 if it is neither."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _first_line(text: str) -> str:
    """The first line, cut and made printable for a log."""
    lines = text.strip().splitlines()
    return _printable(lines[0][:_LONGEST_LINE]) if lines else ""


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _gives_away(line: str, secret: str) -> bool:
    """Whether a first line contains the secret, or was cut within it."""
    shown, hidden = line.casefold(), _printable(secret).casefold()
    begun = (hidden[:size] for size in range(_SHORTEST_SECRET, len(hidden)))
    return hidden in shown or (len(line) == _LONGEST_LINE and any(map(shown.endswith, begun)))
