"""The file that `telemetry.web_config_file` names: TLS and passwords, in the format of Prometheus' own programs.

https://prometheus.io/docs/prometheus/latest/configuration/https/
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from detector.config.load import checked, mapping
from detector.config.values import FilePath, Section
from detector.errors import ConfigError

Version = Literal["TLS12", "TLS13"]

_HASH = re.compile(r"\$2[abxy]\$(0[4-9]|1\d|2[0-4])\$[./A-Za-z0-9]{53}")
"""Above a cost of 24, a comparison takes minutes."""
_NO_FIELD = re.compile(r"[^\x20-\x7e]")


class TlsServer(Section):
    """Our certificate, and whether clients need one. Paths are relative to the folder of the file that names them."""

    cert_file: FilePath
    key_file: FilePath
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: FilePath | None = None
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"

    @model_validator(mode="after")
    def _complete(self) -> TlsServer:
        if (self.client_auth_type == "NoClientCert") != (self.client_ca_file is None):
            raise ValueError("client_ca_file and a client_auth_type that verifies go together")
        if self.min_version > self.max_version:
            raise ValueError("min_version is above max_version")
        return self


class HttpServer(Section):
    """Headers of every response. `http2` has no effect: responses are HTTP/1.0."""

    http2: bool = True
    headers: dict[str, str] = {}

    @field_validator("headers")
    @classmethod
    def _as_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch("[A-Za-z0-9-]+", name) or _NO_FIELD.search(value):
                raise ValueError(f"{name!r} with this value is not a valid header")
        return headers


class Web(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, Any] = {}
    """Name -> bcrypt hash of the password."""

    @field_validator("basic_auth_users")
    @classmethod
    def _hashed(cls, users: dict[str, Any]) -> dict[str, str]:
        for name, given in users.items():
            if ":" in name:
                raise ValueError(f"{name!r} contains a colon, which HTTP does not allow in a user name")
            if not isinstance(given, str) or not _HASH.fullmatch(given):
                raise ValueError(f"the value of {name!r} is not a bcrypt hash, such as `htpasswd -nB {name}` writes")
        return users


def load_web(path: Path) -> Web:
    """Read the file, without opening those it names. Raises ConfigError with every finding at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), [f"cannot be read: {exc}"]) from exc
    return checked(Web, mapping(text, str(path)), str(path))
