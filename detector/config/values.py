"""Kinds of values that several keys of `config.yaml` share."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

STDIN = "-"
"""Stands for standard input in place of a file's path."""
_KAFKA_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_INTERNAL_TOPICS = (
    "__cluster_metadata",
    "__consumer_offsets",
    "__remote_log_metadata",
    "__share_group_state",
    "__transaction_state",
)
"""Listed one by one: any other name that begins with two underscores may be a user's topic."""


def _kafka_name(text: str) -> str:
    """Check a name by Kafka's rule, which is the same for topics and group members."""
    if not _KAFKA_NAME.fullmatch(text) or text in (".", ".."):
        raise ValueError(
            "is not a valid Kafka name: use 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', but not '.' or '..' alone"
        )
    return text


def _not_internal(text: str) -> str:
    if text in _INTERNAL_TOPICS:
        raise ValueError("is one of Kafka's internal topics, which hold no metric events; name another topic")
    return text


InstanceName = Annotated[str, AfterValidator(_kafka_name)]
TopicName = Annotated[InstanceName, AfterValidator(_not_internal)]
PositiveSeconds = Annotated[float, Field(ge=0.001, le=86_400 * 366)]
"""A millisecond at least: brokers count in milliseconds, and a fraction of a time must not be 0."""
GroupSeconds = Annotated[float, Field(ge=0.001, le=86_400)]
"""Bounded, because brokers take milliseconds in 32 bits."""


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    known = port.isascii() and port.isdigit() and int(port) < 65_536
    if not host or set(host) & set("/, ") or not host.isprintable() or not known:
        raise ValueError(f"{text!r} is not host:port")
    return text


def _known_port(text: str) -> str:
    if text.endswith(":0"):
        raise ValueError(f"{text!r}: a broker cannot listen on port 0")
    return text


ListenAddress = Annotated[str, AfterValidator(_host_port)]
"""host:port; port 0 picks a free port, which the log names."""
HostPort = Annotated[str, AfterValidator(_host_port), AfterValidator(_known_port)]


def _start(given: object) -> object:
    if given in ("earliest", "latest") or (isinstance(given, datetime) and given.tzinfo):
        return given
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError("is not earliest, latest, or a time with its offset from UTC such as 2026-11-01T00:00:00Z")
    return at


StartPoint = Annotated[Literal["earliest", "latest"] | datetime, BeforeValidator(_start)]
"""An end of the log, or a time, which means the first record at or after it."""


def _file(text: str) -> str:
    if not Path(text).name:
        raise ValueError("does not name a file; leave it out if there is none")
    return text


FilePath = Annotated[str, AfterValidator(_file)]


class Section(BaseModel):
    """Unknown keys are errors; a configuration never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, given: object, info: ValidationInfo) -> object:
        """Reject what Python would accept: true as the number 1, and a NUL, which ends a path or host name early."""
        field = cls.model_fields[info.field_name or ""]
        reads_itself = any(isinstance(part, BeforeValidator) for part in field.metadata)
        if isinstance(given, bool) and field.annotation in (int, float) and not reads_itself:
            raise ValueError("must be a number")
        texts = given if isinstance(given, list) else [given]
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise ValueError("contains a NUL character; within single quotes, YAML leaves backslashes alone")
        return given
