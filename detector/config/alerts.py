"""The section `alerts` of `config.yaml`."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import AwareDatetime, Field, field_validator, model_validator

from detector.config.mute import Mute, NamedIntervals
from detector.config.values import PositiveSeconds, Section

LABEL_IN_TEXT = re.compile(r"\{([^{}]+)\}")
"""`{label}` in an annotation stands for the alert's label of that name."""
MOST_ANNOTATIONS = 10
OUR_ANNOTATIONS = ("summary", "value", "expected", "anomaly_score", "direction", "contributors")


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
    """When an alert fires and resolves, how it is labelled, and when it is held back."""

    trigger: Trigger = Trigger()
    recovery: Recovery = Recovery()
    max_firing_seconds: PositiveSeconds = 129_600.0
    cooldown_seconds: Annotated[float, Field(ge=0, le=86_400 * 366)] = 0.0
    critical_score: Annotated[float, Field(gt=1)] = 2.0
    labels: dict[str, str] = {}
    annotations: Annotated[dict[str, str], Field(max_length=MOST_ANNOTATIONS)] = {}
    time_intervals: list[NamedIntervals] = []
    mute: list[Mute] = []
    not_before: AwareDatetime | None = None

    @model_validator(mode="after")
    def _intervals_are_known(self) -> Alerts:
        names = [one.name for one in self.time_intervals]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"time_intervals: {', '.join(twice)} is listed twice")
        for place, mute in enumerate(self.mute):
            for name in mute.time_intervals:
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1)
                    hint = f", did you mean {near[0]}?" if near else ""
                    raise ValueError(f"mute.{place}.time_intervals: no time interval is named {name!r}{hint}")
        return self

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        faults = [f"{name!r} {fault}" for name, value in labels.items() if (fault := _label_fault(name, value))]
        if faults:
            raise ValueError("; ".join(faults))
        return labels

    @field_validator("annotations")
    @classmethod
    def _are_annotations(cls, annotations: dict[str, str]) -> dict[str, str]:
        named = annotations.items()
        faults = [f"{name!r} {fault}" for name, text in named if (fault := _annotation_fault(name, text))]
        if faults:
            raise ValueError("; ".join(faults))
        return annotations


def _label_fault(name: str, value: str) -> str | None:
    """What is wrong with a label. Prometheus accepts any UTF-8 name, but reserves those that begin with `__`."""
    if name in ("alertname", "severity", "metric"):
        return "is set by detector on every alert; choose another name"
    if not name or not name.isprintable():
        return "is not a valid label name, which must be printable text"
    if name.startswith("__"):
        return "begins with two underscores, which Prometheus reserves for itself"
    return None if value else "has no value, and Prometheus ignores empty labels; leave it out"


def _annotation_fault(name: str, text: str) -> str | None:
    """What is wrong with an annotation. Every version of Alertmanager accepts these names."""
    if name in OUR_ANNOTATIONS:
        return "is set by detector; choose another name"
    if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name):
        return "is not a valid annotation name, which has English letters, digits and _, and no digit first"
    if set("{}") & set(LABEL_IN_TEXT.sub("", text)):
        return "has a brace that belongs to no {label}; in a link, write %7B and %7D"
    return None if text else "has no text; leave it out"
