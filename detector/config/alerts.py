"""The section `alerts` of `config.yaml`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from detector.config.values import PositiveSeconds, Section


class Trigger(Section):
    """Fire when `anomalous` of the last `of` samples are anomalous."""

    anomalous: Annotated[int, Field(ge=1, le=32)] = 1
    of: Annotated[int, Field(ge=1, le=32)] = 1

    @model_validator(mode="after")
    def _possible(self) -> Trigger:
        if self.anomalous > self.of:
            raise ValueError(f"anomalous ({self.anomalous}) can never be reached in {self.of} samples")
        return self


class Recovery(Section):
    """Resolve after `normal` samples in a row with a score below `below`."""

    normal: Annotated[int, Field(ge=1, le=255)] = 5
    below: Annotated[float, Field(gt=0, le=1)] = 0.8


class Alerts(Section):
    """Life of an alert."""

    trigger: Trigger = Trigger()
    recovery: Recovery = Recovery()
    max_firing_seconds: PositiveSeconds = 86_400.0
    cooldown_seconds: Annotated[float, Field(ge=0, le=86_400 * 366)] = 0.0
    critical_score: Annotated[float, Field(gt=1)] = 2.0
    labels: dict[str, str] = {}

    @field_validator("labels")
    @classmethod
    def _not_ours(cls, labels: dict[str, str]) -> dict[str, str]:
        taken = sorted(labels.keys() & {"alertname", "severity", "metric"})
        if taken:
            raise ValueError(f"{', '.join(taken)}: every alert sets this itself, choose another name")
        return labels
