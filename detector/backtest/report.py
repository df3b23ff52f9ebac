"""A report as data: what `report.json` holds and the page shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from detector import __version__
from detector.backtest.count import Judgement
from detector.backtest.figures import Figures, figures
from detector.backtest.history import Episode
from detector.backtest.labels import iso

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Run:
    """All series replayed at one alert budget."""

    alerts_per_stream_week: float
    """The requested budget."""
    judged: tuple[Judgement, ...]
    """Series that the labels name, in order of name."""
    unlabelled: tuple[Judgement, ...]
    """The others: their alerts are counted but called neither true nor false."""
    in_all: Figures
    each: tuple[Figures, ...]
    """For each of `judged`."""

    @classmethod
    def of(cls, budget: float, judged: Sequence[Judgement], unlabelled: Sequence[Judgement]) -> Run:
        """With all figures computed."""
        each = tuple(figures([one]) for one in judged)
        return cls(budget, tuple(judged), tuple(unlabelled), figures(judged), each)


@dataclass(frozen=True, slots=True)
class Report:
    """What a backtest found."""

    data: str
    labels: str | None
    model: str
    rows: int
    malformed_rows: int
    runs: tuple[Run, ...]

    def as_json(self) -> dict[str, Any]:
        """The report in plain JSON types; times are RFC 3339 text."""
        return {
            "schema_version": SCHEMA_VERSION,
            "detector_version": __version__,
            "model": self.model,
            "data": self.data,
            "labels": self.labels,
            "rows": self.rows,
            "malformed_rows": self.malformed_rows,
            "runs": [_run(run) for run in self.runs],
        }


def _run(run: Run) -> dict[str, Any]:
    return {
        "alerts_per_stream_week": run.alerts_per_stream_week,
        "in_all": asdict(run.in_all),
        "series": [
            {
                **_span(one),
                "figures": asdict(found),
                "events": _events(one),
                "alerts": _alerts(one),
            }
            for one, found in zip(run.judged, run.each, strict=True)
        ],
        "unlabelled": [
            {**_span(one), "alerts": [_alert(episode) for episode in one.history.episodes]} for one in run.unlabelled
        ],
    }


def _span(one: Judgement) -> dict[str, Any]:
    times = one.history.times
    return {
        "file": one.history.name,
        "rows": len(times),
        "from": _text(float(times[0])) if len(times) else None,
        "to": _text(float(times[-1])) if len(times) else None,
        "scored_from": _text(float(times[one.history.first_scored])) if one.history.scored.any() else None,
    }


def _events(one: Judgement) -> list[dict[str, Any]]:
    return [
        {
            "start": _text(event.start),
            "end": _text(event.end),
            "verdict": event.verdict.value,
            "caught_by_open_alert": event.was_open,
            "delay_samples": event.delay_samples,
            "delay_seconds": event.delay_seconds,
        }
        for event in one.events
    ]


def _alerts(one: Judgement) -> list[dict[str, Any]]:
    return [{**_alert(episode), "false": false} for episode, false in zip(one.history.episodes, one.false, strict=True)]


def _alert(episode: Episode) -> dict[str, Any]:
    return {
        "id": episode.id,
        "fired_at": _text(episode.fired_at),
        "resolved_at": None if episode.resolved_at is None else _text(episode.resolved_at),
        "anomaly_score": episode.anomaly_score,
        "direction": episode.direction,
        "severity": episode.severity,
    }


def _text(time: float) -> str:
    return iso(time).replace(" ", "T") + "Z"
