"""`detector check-config` reads the files that a configuration names and reports every fault in them at once."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detector.cli.commands import app
from detector.errors import ConfigError

SCHEMA = (
    '{"type": "record", "name": "M", "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "int"}]}'
)


@pytest.fixture(autouse=True)
def nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("check-config must not connect")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def findings(folder: Path, text: str) -> list[str]:
    """Findings of check-config for this text, with `folder` in place of FOLDER."""
    path = folder / "config.yaml"
    path.write_text(text.replace("FOLDER", str(folder)))
    ran = CliRunner().invoke(app, ["check-config", "-c", str(path)])
    if ran.exit_code == 0:
        return []
    assert isinstance(ran.exception, ConfigError), ran.output
    assert ran.exception.where == str(path)
    assert "ok" not in ran.stdout
    return [finding.replace(f"{folder}/", "") for finding in ran.exception.findings]


def test_g17_faults_in_files_are_reported_all_at_once_with_the_remedy(tmp_path: Path) -> None:
    for name, text in {
        "address": "example.com/canary",
        "empty": "\n",
        "words": "two canaries\n",
        "ca": "no certificate",
        "broken": "{",
        "union": '["null", {"type": "no.such.type"}]',
        "good": SCHEMA,
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary").write_bytes(b"\xff")
    text = """
sinks:
  webhook: {enabled: true, url_file: FOLDER/address, bearer_token_file: FOLDER/empty, ca_file: FOLDER/ca}
  alertmanager: {enabled: true, urls: ['https://a'], bearer_token_file: FOLDER/words}
decoder:
  type: avro
  avro: {schemas: {1: FOLDER/broken, 2: FOLDER/good, 3: FOLDER/union, 4: FOLDER/binary, 5: FOLDER/nowhere}}
"""
    found = findings(tmp_path, text)
    begin_and_end = [
        ("sinks.webhook.bearer_token_file: empty is empty", "; write the token into it"),
        ("sinks.webhook.ca_file: ca cannot be used: ", "; it must hold certificates (PEM)"),
        ("sinks.webhook.url_file: address is neither http:// nor https://", "such as https://receiver.example/alerts"),
        ("sinks.alertmanager.bearer_token_file: words holds more than a token", ""),
        ("decoder.avro.schemas.1: broken does not contain a usable schema: is not JSON", ""),
        ("decoder.avro.schemas.3: union does not contain a usable schema: ", "'no.such.type'"),
        ("decoder.avro.schemas.4: binary is not UTF-8 text", ""),
    ]
    for finding, (begin, end) in zip(found, begin_and_end, strict=True):
        assert finding.startswith(begin)
        assert finding.endswith(end)
    assert "canar" not in str(found)


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        ("bearer_token_file: FOLDER/binary", "decoder.avro.registry.bearer_token_file: binary is not UTF-8 text"),
        ("ca_file: FOLDER/binary", "decoder.avro.registry.ca_file: binary cannot be used"),
    ],
)
def test_g17_faults_in_files_for_the_schema_registry_are_reported(tmp_path: Path, registry: str, said: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    text = f"decoder: {{type: avro, avro: {{registry: {{urls: ['https://registry'], {registry}}}}}}}"
    (found,) = findings(tmp_path, text)
    assert found.startswith(said)


def test_files_of_disabled_components_are_not_checked(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("")
    text = "sinks: {webhook: {url_file: FOLDER/address}}\ndecoder: {avro: {schema_file: FOLDER/address}}"
    assert findings(tmp_path, text) == []


def test_field_that_the_schema_does_not_have_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good").write_text(SCHEMA)
    text = "decoder: {type: avro, avro: {schema_file: FOLDER/good, fields: {labels: tags}}}"
    assert findings(tmp_path, text) == []
    assert [record.getMessage() for record in caplog.records] == [
        "decoder.avro.schema_file has no field at 'tags', which decoder.avro.fields.labels names"
    ]


def test_standard_input_is_not_reported_as_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("source: {type: file, file: {paths: ['-', '/nowhere/x.json']}}\n")
    ran = CliRunner().invoke(app, ["check-config", "-c", str(tmp_path / "config.yaml")])
    [missing] = ran.stderr.splitlines()
    assert missing.endswith("source.file.paths: /nowhere/x.json: no such file")


def certificate(folder: Path, name: str, *words: str) -> None:
    made = f"req -x509 -newkey rsa:2048 -subj /CN=h -days 9 -keyout {folder}/{name}.key -out {folder}/{name}.pem"
    subprocess.run(["openssl", *made.split(), *(words or ("-nodes",))], check=True, capture_output=True)


def test_g17_faults_in_tls_and_sasl_files_are_reported(tmp_path: Path) -> None:
    certificate(tmp_path, "own")
    certificate(tmp_path, "other")
    certificate(tmp_path, "locked", "-passout", "pass:canary")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("two canaries")
    (tmp_path / "token").write_text("abc.def\n")

    def of(tls: str, sasl: str) -> list[str]:
        return [
            line.partition(" cannot be used")[0] for line in findings(tmp_path, f"kafka:\n  tls: {tls}\n  sasl: {sasl}")
        ]

    oauth = "{{mechanism: OAUTHBEARER, oauth: {{token_file: FOLDER/{}}}}}"
    own = "{enabled: true, ca_file: FOLDER/own.pem, certificate_file: FOLDER/own.pem, key_file: FOLDER/own.key}"
    assert of(own, oauth.format("token")) == []
    assert of(own.replace("true", "false"), "{}") == []
    assert of(own.replace("own.key", "other.key"), "{}") == ["kafka.tls.certificate_file: own.pem"]
    assert of(own.replace("own.key", "locked.key"), "{}") == ["kafka.tls.certificate_file: own.pem"]
    assert of(own.replace("own.key", "nowhere"), "{}") == []
    password = "{mechanism: PLAIN, username: u, password_file: FOLDER/empty}"
    assert of("{enabled: true, ca_file: FOLDER/empty}", password) == [
        "kafka.tls.ca_file: empty",
        "kafka.sasl.password_file: empty is empty; write the password into it",
    ]
    assert of(own, oauth.format("words")) == ["kafka.sasl.oauth.token_file: words must hold a token and nothing else"]
    endpoint = "{token_url: 'https://a', client_id: c, client_secret_file: FOLDER/token, ca_file: FOLDER/empty}"
    assert of(own, f"{{mechanism: OAUTHBEARER, oauth: {endpoint}}}") == ["kafka.sasl.oauth.ca_file: empty"]
    stdout = (
        "source: {type: host}\nsinks: {kafka: {enabled: false}, stdout: {enabled: true}}\nkafka:\n  sasl: {}\n  tls: "
    )
    assert findings(tmp_path, stdout + "{enabled: true, ca_file: FOLDER/empty}") == []
