"""The section `decoder.avro` of `config.yaml`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from detector.config.fields import Fields, Unit
from detector.config.http import base_addresses, require_access
from detector.config.values import FilePath, PositiveSeconds, Section

EXAMPLE = "http://schema-registry:8081"
SchemaId = Annotated[int, Field(ge=0, lt=1 << 32)]


class Registry(Section):
    """A schema registry with Confluent's API. Secrets are given by reference, never in the file itself."""

    urls: list[str] = []
    timeout_seconds: PositiveSeconds = 10.0
    lookup_timeout_seconds: PositiveSeconds = 60.0
    bearer_token_file: str | None = None
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    allow_plaintext_credentials: bool = False

    @field_validator("urls")
    @classmethod
    def _base_addresses(cls, urls: list[str]) -> list[str]:
        return base_addresses(urls, EXAMPLE, "a registry", _beyond_base)

    @model_validator(mode="after")
    def _complete(self) -> Registry:
        require_access(self, self.urls)
        return self


class AvroDecoder(Section):
    """Where schemas come from, and where the parts of a sample are in a record."""

    registry: Registry = Registry()
    schemas: dict[SchemaId, FilePath] = {}
    schema_file: FilePath | None = None
    fields: Fields = Fields()
    timestamp_unit: Unit = "auto"

    def require_schemas(self) -> None:
        """Raises ValueError unless exactly one key says where schemas come from."""
        ways = [bool(self.registry.urls), bool(self.schemas), self.schema_file is not None]
        if sum(ways) != 1:
            raise ValueError(
                f"type is avro, so {'only ' if sum(ways) else ''}one of these must say where schemas come from: "
                f"avro.registry.urls (such as {EXAMPLE}), avro.schemas (files by id), or avro.schema_file (records "
                "that name no schema)"
            )


def _beyond_base(url: str) -> str | None:
    if urlsplit(url).path.rstrip("/").endswith(("/schemas", "/schemas/ids", "/subjects")):
        return "includes the path of schemas or subjects, which is appended to the base address"
    return None
