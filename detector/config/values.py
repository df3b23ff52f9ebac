"""Kinds of values that several keys of `config.yaml` share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
InstanceName = TopicName
"""Kafka has one rule for both."""
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400 * 366)]
GroupSeconds = Annotated[float, Field(gt=0, le=86_400)]
"""Brokers take milliseconds in 32 bits."""


def _host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or set(host) & set("/, ") or not port.isdigit() or int(port) >= 65_536:
        raise ValueError(f"{text!r} is not host:port")
    return text


def _known_port(text: str) -> str:
    if text.endswith(":0"):
        raise ValueError(f"{text!r}: a broker cannot listen on port 0")
    return text


ListenAddress = Annotated[str, AfterValidator(_host_port)]
"""host:port; port 0 takes a free one, which the log names."""
HostPort = Annotated[str, AfterValidator(_host_port), AfterValidator(_known_port)]


def _start(given: object) -> object:
    if given in ("earliest", "latest") or (isinstance(given, datetime) and given.tzinfo):
        return given
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError("is none of earliest, latest, or a time with its offset from UTC such as 2026-11-01T00:00:00Z")
    return at


StartPoint = Annotated[Literal["earliest", "latest"] | datetime, BeforeValidator(_start)]
"""An end of the log, or the first record at a time or later."""


class Section(BaseModel):
    """Unknown keys are errors; a configuration never changes once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
