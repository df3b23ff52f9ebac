"""The section `decoder.avro`."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.config import parse
from detector.config.files import unreadable
from detector.errors import ConfigError

REGISTRY = "urls: ['https://registry:8081']"


def avro(settings: str, kind: str = "avro") -> str:
    return f"decoder: {{type: {kind}, avro: {{{settings}}}}}"


@pytest.mark.parametrize(
    "settings",
    [
        f"registry: {{{REGISTRY}}}",
        "registry: {urls: ['HTTP://a:8081/apis/ccompat/v7/', 'http://b:8081']}",
        "schemas: {1: a.avsc, 4294967295: b.avsc}",
        "schema_file: a.avsc",
    ],
)
def test_one_source_of_schemas_is_enough(settings: str) -> None:
    parse(avro(settings), "test")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("", "type is avro, so one of these must say where schemas come from"),
        (f"registry: {{{REGISTRY}}}, schema_file: a.avsc", "type is avro, so only one of these"),
        ("schemas: {1: a.avsc}, schema_file: a.avsc", "type is avro, so only one of these"),
        ("schemas: {-1: a.avsc}", r"decoder\.avro\.schemas\.-1"),
        ("schemas: {one: a.avsc}", r"decoder\.avro\.schemas\.one"),
        (
            "registry: {urls: ['registry:8081']}",
            r"number 1 is neither http:// nor https://; write it as http://schema-",
        ),
        ("registry: {urls: ['http://r:8081/schemas/ids']}", "includes the path of schemas or subjects"),
        ("registry: {urls: ['http://r:8081?a=b']}", "has a query"),
        ("registry: {urls: ['http://r:8081', 'http://r:8081/']}", "lists a registry twice"),
        (f"registry: {{{REGISTRY}, username: ali}}", "username and password_file go together"),
        (
            f"registry: {{{REGISTRY}, lookup_timeout_seconds: 300}}",
            r"source\.kafka\.max_poll_interval_seconds: a worker may wait 300 s for the schema registry",
        ),
    ],
)
def test_g17_invalid_section_is_an_error_that_names_the_fault(settings: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(avro(settings), "test")


@pytest.mark.parametrize("path", ["''", "' '", "a..b", ".a", "a."])
@pytest.mark.parametrize("kind", ["json", "avro"])
def test_g17_field_path_with_an_empty_part_is_an_error(kind: str, path: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(f"decoder: {{{kind}: {{fields: {{name: {path}, value: a.b}}}}}}", "test")
    (found,) = error.value.findings
    assert found.startswith(f"decoder.{kind}.fields.name: is not a path, which is names separated by dots, such as")


def test_s3_url_with_a_password_is_not_quoted_in_the_error() -> None:
    with pytest.raises(ConfigError) as error:
        parse(avro("registry: {urls: ['https://ali:opensesame@registry:8081']}"), "test")
    assert "opensesame" not in str(error.value)


def test_s1_credentials_over_plain_http_are_rejected() -> None:
    settings = "urls: ['http://registry:8081'], bearer_token_file: token"
    with pytest.raises(ConfigError, match="credentials for an http:// address are sent unencrypted"):
        parse(avro(f"registry: {{{settings}}}"), "test")
    parse(avro(f"registry: {{{settings}, allow_plaintext_credentials: true}}"), "test")


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.avsc").write_text("{}")
    config = parse(avro(f"schemas: {{1: {tmp_path}/a.avsc, 2: {tmp_path}/b.avsc}}"), "test")
    assert unreadable(config) == [f"decoder.avro.schemas.2: {tmp_path}/b.avsc: no such file"]
    config = parse(avro(f"registry: {{{REGISTRY}, bearer_token_file: {tmp_path}/token}}"), "test")
    assert unreadable(config) == [f"decoder.avro.registry.bearer_token_file: {tmp_path}/token: no such file"]
    assert unreadable(parse(avro(f"schema_file: {tmp_path}/c.avsc", kind="json"), "test")) == []
