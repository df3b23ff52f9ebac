"""One Alertmanager's API over HTTP."""

from __future__ import annotations

from detector.config.alertmanager import Alertmanager
from detector.http.client import HttpClient, Words

PATH = "/api/v2/alerts"
_WORDS = Words(
    section="sinks.alertmanager",
    address="sinks.alertmanager.urls",
    server="an Alertmanager",
    below=f" ({PATH} is appended to each)",
)


class AlertmanagerClient:
    """Posts alerts to one Alertmanager."""

    def __init__(self, url: str, section: Alertmanager) -> None:
        self.url = url
        self.timeout_seconds = section.timeout_seconds
        self._http = HttpClient(section, _WORDS)

    def post(self, alerts: bytes) -> None:
        """Raises DeliveryError, `retriable` unless these very alerts were refused."""
        self._http.post(self.url + PATH, alerts, self.url)


def problems(section: Alertmanager) -> list[str]:
    """What is wrong with the files that a request needs, one line each."""
    return HttpClient(section, _WORDS).problems()
