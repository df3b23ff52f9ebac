"""The section `learning` of `config.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from detector.config.values import PositiveSeconds, Section


def _word(value: object) -> object:
    """Accept false for `off`: YAML 1.1 reads an unquoted `off` as false."""
    return "off" if value is False else value


class Learning(Section):
    """Whether and how the shared network keeps learning from the streams that it forecasts."""

    mode: Annotated[Literal["off", "continual"], BeforeValidator(_word)] = "off"
    interval_seconds: PositiveSeconds = 3_600.0
    cpu_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    streams: Annotated[int, Field(ge=8, le=16_384)] = 256
    samples: Annotated[int, Field(ge=128, le=65_536)] = 1_024
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] = 4e-3
