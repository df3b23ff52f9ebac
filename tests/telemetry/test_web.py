"""TLS and passwords for /metrics, from a web configuration file in Prometheus' format."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import yaml

from detector.config.telemetry import Telemetry
from detector.config.web import load_web
from detector.errors import ConfigError
from detector.telemetry import Health, Metrics, TelemetryServer, new_registry
from detector.telemetry.server import MAX_CONNECTIONS
from detector.telemetry.web import WebAccess, problems

PASSWORD = "canary: ä"
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$" + b"." * 22).decode("ascii")


@pytest.fixture
def folder(identities: Path, tmp_path: Path) -> Path:
    for path in identities.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def written(folder: Path, web: object) -> str:
    path = folder / "web.yml"
    path.write_text(web if isinstance(web, str) else yaml.safe_dump(web))
    return str(path)


TLS = {"cert_file": "ours.pem", "key_file": "ours.key"}


class Site:
    """A started server with a web configuration file, and a client."""

    def __init__(self, folder: Path, web: object) -> None:
        self.folder = folder
        settings = Telemetry(listen="127.0.0.1:0", web_config_file=written(folder, web))
        self.server = TelemetryServer(settings, Metrics(new_registry()).registry, Health(30.0, lambda: 0.0))
        self.server.start()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    def ask(
        self, path: str, login: tuple[str, str] | None = None, *, trusted: str | None = None, own: str | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and headers; over TLS where a certificate is trusted, `own` the one that is shown."""
        host, port = self.server.address
        if trusted is None:
            connection = http.client.HTTPConnection(host, port, timeout=60)
        else:
            context = ssl.create_default_context(cafile=self.folder / f"{trusted}.pem")
            if own is not None:
                context.load_cert_chain(self.folder / f"{own}.pem", self.folder / f"{own}.key")
            connection = http.client.HTTPSConnection(host, port, timeout=60, context=context)
        headers = {}
        if login is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(login).encode()).decode("ascii")
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()


@pytest.fixture
def with_password(folder: Path) -> Iterator[Site]:
    with Site(folder, {"basic_auth_users": {"prometheus": HASH}}) as site:
        yield site


def test_s5_metrics_require_the_password(with_password: Site) -> None:
    status, body, headers = with_password.ask("/metrics")
    assert (status, body, headers["WWW-Authenticate"]) == (401, b"", "Basic")
    for login in [
        ("prometheus", "wrong"),
        ("prometheus", ""),
        ("other", PASSWORD),
        ("", ""),
        ("prometheus", "x" * 100),
    ]:
        assert with_password.ask("/metrics", login)[0] == 401, login
    for _ in range(2):
        status, body, _ = with_password.ask("/metrics", ("prometheus", PASSWORD))
        assert status == 200
        assert b"detector_" in body
    assert with_password.ask("/metrics", ("prometheus", "wrong"))[0] == 401
    assert with_password.ask("/debug")[0] == 401, "nor does it say which pages there are"


@pytest.mark.parametrize("said", ["Basic", "Basic !", "Basic /w==", "Bearer x", "basic", "Basic " + "A" * 9_000])
def test_s5_malformed_authorization_header_is_rejected(with_password: Site, said: str) -> None:
    connection = http.client.HTTPConnection(*with_password.server.address, timeout=60)
    connection.request("GET", "/metrics", headers={"Authorization": said})
    assert connection.getresponse().status == 401
    connection.close()


def test_probes_need_no_password(with_password: Site) -> None:
    assert with_password.ask("/-/healthy")[0] == 200
    assert with_password.ask("/-/ready")[0] in (200, 503)


def test_s5_connection_is_encrypted(folder: Path) -> None:
    with Site(folder, {"tls_server_config": TLS}) as site:
        assert site.ask("/metrics", trusted="ours")[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            site.ask("/metrics", trusted="theirs")
        with pytest.raises((http.client.HTTPException, OSError)):
            site.ask("/metrics")
        assert site.ask("/metrics", trusted="ours")[0] == 200


def test_s5_client_without_the_right_certificate_gets_no_answer(folder: Path) -> None:
    tls = {**TLS, "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "theirs.pem"}
    with Site(folder, {"tls_server_config": tls}) as site:
        assert site.ask("/metrics", trusted="ours", own="theirs")[0] == 200
        for wrong in (None, "next"):
            with pytest.raises((ssl.SSLError, http.client.HTTPException, OSError)):
                site.ask("/-/ready", trusted="ours", own=wrong)


def test_s5_unfinished_tls_handshakes_delay_no_other_client(folder: Path) -> None:
    with Site(folder, {"tls_server_config": TLS}) as site:
        silent = [socket.create_connection(site.server.address) for _ in range(3 * MAX_CONNECTIONS)]
        assert site.ask("/metrics", trusted="ours")[0] == 200
        for connection in silent:
            connection.close()


def test_replaced_files_are_used_without_a_restart(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    web = {"tls_server_config": TLS, "basic_auth_users": {"a": HASH}}
    with Site(folder, web) as site:
        assert site.ask("/metrics", ("a", PASSWORD), trusted="ours")[0] == 200
        for kind in ("pem", "key"):
            (folder / f"next.{kind}").replace(folder / f"ours.{kind}")
        assert site.ask("/metrics", ("a", PASSWORD), trusted="ours")[0] == 200
        written(folder, {**web, "basic_auth_users": {"b": HASH}, "http_server_config": {"headers": {"X-A": "b"}}})
        assert site.ask("/metrics", ("a", PASSWORD), trusted="ours")[0] == 401
        status, _, headers = site.ask("/metrics", ("b", PASSWORD), trusted="ours")
        assert (status, headers["X-A"]) == (200, "b")
        written(folder, {**web, "basic_auth_users": {"b": PASSWORD}})
        for _ in range(3):
            assert site.ask("/metrics", ("b", PASSWORD), trusted="ours")[0] == 200
        assert caplog.text.count("the previous content stays in use") == 1
        assert "canary" not in caplog.text
        os.unlink(folder / "web.yml")
        assert site.ask("/metrics", ("b", PASSWORD), trusted="ours")[0] == 200
        assert site.ask("/metrics", ("b", "wrong"), trusted="ours")[0] == 401


def test_certificate_that_is_named_before_it_exists_is_used_once_it_does(folder: Path) -> None:
    with Site(folder, {"tls_server_config": TLS}) as site:
        written(folder, {"tls_server_config": {"cert_file": "new.pem", "key_file": "new.key"}})
        assert site.ask("/metrics", trusted="ours")[0] == 200
        for kind in ("pem", "key"):
            (folder / f"next.{kind}").rename(folder / f"new.{kind}")
        assert site.ask("/metrics", trusted="new")[0] == 200


@pytest.mark.parametrize(
    ("web", "finding"),
    [
        ("- a", "must be a mapping of sections, not a list"),
        ("a: [", "is not valid YAML"),
        ("tls_server_confg: {}", "tls_server_confg: unknown key, did you mean tls_server_config?"),
        (
            "tls_server_config: {cert_fil: a}",
            "tls_server_config.cert_fil: unknown key, did you mean tls_server_config.cert_",
        ),
        ("tls_server_config: {cert_file: a}", "tls_server_config.key_file: field required"),
        (
            "rate_limit: {interval: 1}",
            "rate_limit: unknown key; known keys here: tls_server_config, http_server_config",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}",
            "tls_server_config: client_ca_file and a",
        ),
        ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}", "tls_server_config.min_version: input"),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
            "tls_server_config: min_version is above max_version",
        ),
        (
            "basic_auth_users: {a: canary}",
            "basic_auth_users: the value of 'a' is not a bcrypt hash, such as `htpasswd -nB a`",
        ),
        ("basic_auth_users: {a: 12345}", "basic_auth_users: the value of 'a' is not a bcrypt hash"),
        (f"basic_auth_users: {{'a:b': '{HASH}'}}", "basic_auth_users: 'a:b' contains a colon"),
        (
            'http_server_config: {headers: {A: "b\\r\\nC: d"}}',
            "http_server_config.headers: 'A' with this value is not a",
        ),
    ],
)
def test_fault_in_the_file_is_named_without_secrets(tmp_path: Path, web: str, finding: str) -> None:
    path = Path(written(tmp_path, web))
    with pytest.raises(ConfigError) as raised:
        load_web(path)
    assert any(line.startswith(finding) for line in raised.value.findings), raised.value.findings
    assert "canary" not in str(raised.value)
    assert "12345" not in str(raised.value)
    assert problems(str(path)) == raised.value.findings


@pytest.mark.parametrize("wrong", ["no such", "no certificate", "another's key", "encrypted"])
def test_unusable_certificates_are_named(folder: Path, wrong: str) -> None:
    if wrong == "no certificate":
        (folder / "ours.pem").write_text("x")
    elif wrong == "another's key":
        (folder / "next.key").replace(folder / "ours.key")
    elif wrong == "encrypted":
        words = f"rsa -aes128 -passout pass:abcd -in {folder}/next.key -out {folder}/ours.key"
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    else:
        (folder / "ours.key").unlink()
    path = written(folder, {"tls_server_config": TLS})
    with pytest.raises(ConfigError) as raised:
        WebAccess(path)
    assert f"tls_server_config: {folder}/ours.pem and {folder}/ours.key cannot be used" in str(raised.value)
