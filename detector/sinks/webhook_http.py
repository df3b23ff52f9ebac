"""HTTP client for a webhook's receiver."""

from __future__ import annotations

from urllib.parse import urlsplit

from detector.config.http import address_problem
from detector.config.webhook import EXAMPLE, Webhook
from detector.errors import DeliveryError
from detector.http.client import HttpClient, Words, origin

_WORDS = Words(
    section="sinks.webhook",
    address="sinks.webhook.url or url_file",
    server="the receiver",
    secret_path=True,
)


class WebhookClient:
    """Posts to the current address: a file that holds it is read again for every request."""

    def __init__(self, section: Webhook) -> None:
        """Raises DeliveryError if a file that a request needs cannot be used."""
        if found := problems(section):
            raise DeliveryError("; ".join(found))
        self._section = section
        self._http = HttpClient(section, _WORDS)

    def post(self, body: bytes) -> None:
        """Raises DeliveryError, `retriable` unless this very body was refused."""
        url = _address(self._section, self._http)
        self._http.post(url, body, origin(url))

    def abort(self) -> None:
        """Make the request in progress fail, and every later one. Callable from any thread."""
        self._http.abort()


def problems(section: Webhook) -> list[str]:
    """What is wrong with the files that a request needs, one line each."""
    http = HttpClient(section, _WORDS)
    found = http.problems()
    try:
        _address(section, http)
    except DeliveryError as exc:
        found.append(str(exc))
    return found


def _address(section: Webhook, http: HttpClient) -> str:
    """Where to post. Raises DeliveryError, whose message never reveals a file's content."""
    if section.url_file is None:
        return section.url or ""
    url, file = http.secret("url_file", section.url_file).strip(), f"sinks.webhook.url_file: {section.url_file}"
    if problem := address_problem(url):
        raise DeliveryError(f"{file} {problem}; put an address into it, such as {EXAMPLE}")
    if urlsplit(url).scheme == "http" and not section.allow_plaintext_credentials:
        raise DeliveryError(
            f"{file} holds an http:// address, which would be sent unencrypted: use https://, "
            "or set allow_plaintext_credentials: true if the network is trusted"
        )
    return url
