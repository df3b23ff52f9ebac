"""A minimal token endpoint of an identity provider: client credentials with HTTP basic authentication."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from tests.http_server import Said, Server

CLIENT, SECRET = "detector", "canary-c1b2-secret"


class Issuer(Server):
    """`with Issuer(lambda: (token, seconds)) as issuer:` answers at `issuer.url`."""

    def __init__(self, issue: Callable[[], tuple[str, float]]) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.away = False
        self.answer: Said | None = None
        """What it says instead of a token."""
        self._issue = issue

    def respond(self, path: str, body: bytes) -> Said | None:
        """A token for clients with the secret (RFC 6749, sections 5.1 and 5.2)."""
        if self.away:
            return None
        self.forms.append(dict(parse_qsl(body.decode("ascii"), strict_parsing=True)))
        if self.answer is not None:
            return self.answer
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode("ascii")
        if self.authorizations[-1] != f"Basic {login}":
            return Said(401, b'{"error": "invalid_client"}')
        token, seconds = self._issue()
        told = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
        return Said(200, json.dumps(told).encode("ascii"), {"Content-Type": "application/json"})


def oauth(url: str, folder: Path, secret: str = SECRET) -> dict[str, object]:
    """The section `kafka.sasl.oauth` for an endpoint."""
    (folder / "secret").write_text(f"{secret}\n")
    return {
        "token_url": url,
        "client_id": CLIENT,
        "client_secret_file": str(folder / "secret"),
        "allow_plaintext_credentials": True,
        "timeout_seconds": 2.0,
    }
