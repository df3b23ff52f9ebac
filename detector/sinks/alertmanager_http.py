"""One Alertmanager's API over HTTP: a request a connection, no redirects, no proxies."""

from __future__ import annotations

import base64
import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from detector.config.alertmanager import Alertmanager
from detector.errors import DeliveryError

PATH = "/api/v2/alerts"
_CONTENT_REFUSED = (400, 413, 422)
"""Statuses that say that another request may well be accepted."""
_LONGEST_ANSWER = 2_048
_LONGEST_WORD = 200


class AlertmanagerClient:
    """Posts alerts to one address. Files with secrets are read for every request, so that they may be replaced."""

    def __init__(self, url: str, section: Alertmanager) -> None:
        self.url = url
        self.timeout_seconds = section.timeout_seconds
        self._section = section
        parts = urlsplit(url)
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path + PATH
        self._context: ssl.SSLContext | None = None

    def post(self, alerts: bytes) -> None:
        """Raises DeliveryError, `retriable` unless it is these alerts that are refused."""
        headers = {"Content-Type": "application/json", "User-Agent": "detector", **self._credentials()}
        connection = self.connection()
        try:
            connection.request("POST", self._path, alerts, headers)
            answer = connection.getresponse()
            status, location, told = answer.status, answer.getheader("Location"), answer.read(_LONGEST_ANSWER)
        except (OSError, http.client.HTTPException, UnicodeError) as exc:
            self._context = None
            raise DeliveryError(f"{self.url}: {_trouble(exc)}") from exc
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise self._refusal(status, location, _first_line(told))

    def connection(self) -> http.client.HTTPConnection:
        """Not connected yet."""
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=self.timeout_seconds)
        if self._context is None:
            self._context = self._trusted()
        return http.client.HTTPSConnection(self._host, self._port, timeout=self.timeout_seconds, context=self._context)

    def _trusted(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._section.ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise DeliveryError(f"sinks.alertmanager.ca_file: {self._section.ca_file} cannot be used: {exc}") from exc

    def _credentials(self) -> dict[str, str]:
        section = self._section
        if section.bearer_token_file is not None:
            token = _secret("bearer_token_file", section.bearer_token_file)
            if not token.isascii() or not token.isprintable() or " " in token:
                raise DeliveryError(
                    f"sinks.alertmanager.bearer_token_file: {section.bearer_token_file} holds more than a token"
                )
            return {"Authorization": f"Bearer {token}"}
        if section.username is not None and section.password_file is not None:
            pair = f"{section.username}:{_secret('password_file', section.password_file)}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}
        return {}

    def _refusal(self, status: int, location: str | None, told: str) -> DeliveryError:
        said = f"{self.url}: answered {status}" + (f" ({told})" if told else "")
        if 300 <= status < 400:
            said += f"; it redirects to {_first_line((location or '').encode())}: name that in sinks.alertmanager.urls"
        elif status in (401, 403):
            said += "; check sinks.alertmanager.bearer_token_file, username and password_file"
        elif status == 404:
            said += f"; check sinks.alertmanager.urls, {PATH} is below each of them"
        error = DeliveryError(said)
        error.retriable = status not in _CONTENT_REFUSED
        return error


def _secret(key: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise DeliveryError(f"sinks.alertmanager.{key}: {path} cannot be read: {exc}") from exc


def _trouble(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"does not prove to be it ({exc.verify_message}); check sinks.alertmanager.ca_file and the name"
    cause = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return f"no answer ({cause}); check sinks.alertmanager.urls and that an Alertmanager listens there"


def _first_line(told: bytes) -> str:
    lines = told.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:_LONGEST_WORD] if lines else ""
