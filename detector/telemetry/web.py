"""TLS and passwords of the HTTP server, reread when a file changes: certificates are replaced while we run."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import ssl
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import bcrypt

from detector.config.web import TlsServer, Web, load_web
from detector.errors import ConfigError

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_NOBODY = "$2b$10$" + "." * 53
"""Compared for an unknown user, so that the answer takes just as long."""

log = logging.getLogger(__name__)


class _Read(NamedTuple):
    """The contents of the files."""

    web: Web
    context: ssl.SSLContext | None


class WebAccess:
    """Who may talk to the server, and how. Thread-safe."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError if the file, or one that it names, cannot be used."""
        self._path = Path(path)
        self._lock = Lock()
        self._comparing = Lock()
        self._admitted: set[bytes] = set()
        self._marks: dict[Path, object] = {}
        """The files to watch, also if they could not be used, with marks that tell when they change."""
        self._read = self._read_files()

    def context(self) -> ssl.SSLContext | None:
        """TLS context of the next connection; None without TLS."""
        return self._now().context

    def headers(self) -> dict[str, str]:
        """Headers of every response."""
        return self._now().web.http_server_config.headers

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this Authorization header may be answered."""
        users: dict[str, str] = self._now().web.basic_auth_users
        if not users:
            return True
        name, password = _login(authorization or "")
        hashed = users.get(name)
        # Admitted clients return every few seconds, and a comparison takes a tenth of a second.
        mark = hashlib.sha256(repr((name, password, hashed)).encode()).digest()
        if mark in self._admitted:
            return True
        with self._comparing:  # one at a time, so that guessing cannot occupy more than one core
            right = _matches(password, hashed or _NOBODY) and hashed is not None
        if right:
            self._admitted.add(mark)
        return right

    def _now(self) -> _Read:
        """What the files hold now, or held when they were last usable."""
        with self._lock:
            if any(_mark(path) != mark for path, mark in self._marks.items()):
                try:
                    self._read = self._read_files()
                    self._admitted = set()
                except ConfigError as exc:
                    log.warning("%s; the previous content stays in use", exc)
            return self._read

    def _read_files(self) -> _Read:
        """Raises ConfigError."""
        self._marks = {self._path: _mark(self._path)}
        web = load_web(self._path)
        tls = web.tls_server_config
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
        files = [self._path.parent / name for name in named if name is not None]
        self._marks |= {path: _mark(path) for path in files}
        return _Read(web, None if tls is None else _context(tls, self._path))


def problems(path: str) -> list[str]:
    """What is wrong with the file and with those that it names."""
    try:
        WebAccess(path)
    except ConfigError as exc:
        return exc.findings
    return []


def _context(tls: TlsServer, path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    certificate, key = path.parent / tls.cert_file, path.parent / tls.key_file
    try:
        context.load_cert_chain(certificate, key, password="")  # without it, an encrypted key prompts on the terminal
    except (OSError, ValueError) as exc:
        raise ConfigError(str(path), [f"tls_server_config: {certificate} and {key} cannot be used: {exc}"]) from exc
    context.verify_mode = _CLIENTS[tls.client_auth_type]
    if tls.client_ca_file is not None:
        authorities = path.parent / tls.client_ca_file
        try:
            context.load_verify_locations(authorities)
        except (OSError, ValueError) as exc:
            problem = f"tls_server_config.client_ca_file: {authorities} cannot be used: {exc}"
            raise ConfigError(str(path), [problem]) from exc
    return context


def _mark(path: Path) -> object:
    """A value that changes whenever the file is rewritten or replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _login(authorization: str) -> tuple[str, bytes]:
    """Name and password from HTTP basic authentication; empty if there are none."""
    kind, _, encoded = authorization.partition(" ")
    if kind.casefold() != "basic":
        return "", b""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        return name.decode("utf-8"), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""


def _matches(password: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password, hashed.encode("ascii"))
    except ValueError:  # too long for bcrypt, or with a NUL
        return False
