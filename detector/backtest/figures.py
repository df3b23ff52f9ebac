"""Figures of one series, or of many together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.backtest import daily, nab
from detector.backtest.count import Event, Judgement, Verdict

DAY_SECONDS = 86_400.0
OWN_THRESHOLD = 1.0
"""The product's own threshold on anomaly_score."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What an operator wants to know; None where a figure is undefined, such as recall without an event.

    The last four come from scorers that look at scores row by row, not at alerts: see `daily` and `nab`.
    """

    series: int
    events: int
    """Those that could have been caught: `caught + missed`."""
    caught: int
    missed: int
    not_judged: int
    caught_by_open_alert: int
    """How many of those caught were caught by an alert that had fired before the event began."""
    alerts: int
    false_alerts: int
    precision: float | None
    """Share of alerts that touch an event."""
    recall: float | None
    """Share of events that are caught."""
    f1: float | None
    median_delay_samples: float | None
    median_delay_seconds: float | None
    stream_days: float
    """Judged time of all series together."""
    alerts_per_stream_week: float | None
    false_alerts_per_stream_day: float | None
    false_alerts_per_stream_week: float | None
    best_f1: float | None
    """F1 of events against days with a false row, at the best threshold."""
    best_f1_threshold: float | None
    f1_at_own_threshold: float | None
    """The same at the product's own threshold."""
    nab: dict[str, float] | None
    """Each profile at its best threshold, and as `..._at_own_threshold`."""


def figures(judged: Sequence[Judgement]) -> Figures:
    """Figures of these series together."""
    events = [event for one in judged for event in one.events]
    caught = [event for event in events if event.verdict == Verdict.CAUGHT]
    missed = sum(event.verdict == Verdict.MISSED for event in events)
    false = sum(one.false.count(True) for one in judged)
    alerts = sum(len(one.false) for one in judged)
    days = sum(one.history.scored_seconds for one in judged) / DAY_SECONDS
    precision = _share(alerts - false, alerts)
    recall = _share(len(caught), len(caught) + missed)
    swept, profiles = _swept(judged), _profiles(judged)
    return Figures(
        series=len(judged),
        events=len(caught) + missed,
        caught=len(caught),
        missed=missed,
        not_judged=len(events) - len(caught) - missed,
        caught_by_open_alert=sum(event.was_open for event in caught),
        alerts=alerts,
        false_alerts=false,
        precision=precision,
        recall=recall,
        f1=None if recall is None else harmonic(precision or 0.0, recall),
        median_delay_samples=_median(caught, "delay_samples"),
        median_delay_seconds=_median(caught, "delay_seconds"),
        stream_days=days,
        alerts_per_stream_week=_share(7.0 * alerts, days),
        false_alerts_per_stream_day=_share(false, days),
        false_alerts_per_stream_week=_share(7.0 * false, days),
        best_f1=swept.get("best_f1"),
        best_f1_threshold=swept.get("best_threshold"),
        f1_at_own_threshold=swept.get("f1_at_own_threshold"),
        nab=profiles,
    )


def harmonic(precision: float, recall: float) -> float:
    """Harmonic mean; 0 if both are 0.

    >>> harmonic(0.5, 1.0)
    0.6666666666666666
    """
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _median(caught: Sequence[Event], name: str) -> float | None:
    return float(np.median([getattr(event, name) for event in caught])) if caught else None


def _swept(judged: Sequence[Judgement]) -> dict[str, float]:
    """Empty if no event can be found at any threshold."""
    some = [one for one in judged if len(one.series.times)]
    found = daily.evaluate([one.series for one in some], [one.history.scores for one in some]) if some else {}
    return found if found.get("events") and np.isfinite(found["best_threshold"]) else {}


def _profiles(judged: Sequence[Judgement]) -> dict[str, float] | None:
    some = [one for one in judged if len(one.series.times)]
    if not any(len(nab.counted_windows(one.series)) for one in some):
        return None
    found = nab.evaluate([one.series for one in some], [one.history.scores for one in some], OWN_THRESHOLD)
    return {name: found[name] for profile in nab.PROFILES for name in (profile, f"{profile}_at_own_threshold")}
