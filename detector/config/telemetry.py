"""`telemetry` in `config.yaml`: `/metrics`, health and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detector.config.values import FilePath, ListenAddress, Section


class ShownStreams(Section):
    """Streams that are exported as individual metrics."""

    match: list[str] = []
    most: Annotated[int, Field(ge=1, le=10_000)] = 100


class Telemetry(Section):
    """`/metrics`, health and logs."""

    listen: ListenAddress = "127.0.0.1:9464"
    web_config_file: FilePath | None = None
    streams: ShownStreams = ShownStreams()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    alert_lines_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 600
