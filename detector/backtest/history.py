"""The pipeline's verdicts on the rows of each series, recorded during a replay. T rows of a series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.records import Alert, AlertStatus, Float64, Outcome, SampleBatch, ScoredBatch
from detector.replay import ReplayFile

_VALUED = (Outcome.SCORED, Outcome.WARMUP)
_WITHOUT_VALUE = (Outcome.GAP, Outcome.NOT_FINITE, Outcome.OUT_OF_RANGE)


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert, from its firing message to its resolved message."""

    id: str
    fired_at: float
    resolved_at: float | None
    """None if it still fires at the end of the series."""
    anomaly_score: float
    """Of its worst sample, as last reported."""
    direction: str
    severity: str

    def until(self, end: float) -> float:
        """When it stopped firing, in a series that ends at `end`."""
        return end if self.resolved_at is None else self.resolved_at


@dataclass(frozen=True, slots=True)
class History:
    """One series after a replay. Late and duplicate rows are left out; rows without a value stay as NaN."""

    name: str
    times: Float64
    """[T] non-decreasing."""
    values: Float64
    expected: Float64
    lower: Float64
    upper: Float64
    scores: Float64
    """[T] anomaly_score, 0 where not scored."""
    scored: npt.NDArray[np.bool_]
    """[T] False while the stream warms up, and in gaps."""
    episodes: tuple[Episode, ...]

    @property
    def step_seconds(self) -> float:
        """Median time between two rows; 0 for a series of fewer than two."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0

    @property
    def first_scored(self) -> int:
        """The first row that the pipeline judged; T if there is none."""
        return int(np.argmax(self.scored)) if self.scored.any() else len(self.times)

    @property
    def scored_seconds(self) -> float:
        """Time from the first judged row to the last row."""
        first = self.first_scored
        return float(self.times[-1] - self.times[first]) if first < len(self.times) else 0.0


class Recorder:
    """Replay observer that keeps all verdicts on all files."""

    def __init__(self) -> None:
        self._rows: dict[str, list[npt.NDArray[np.float64]]] = {}
        self._alerts: dict[str, list[Alert]] = {}

    def rows(self, file: ReplayFile, samples: SampleBatch, scored: ScoredBatch) -> None:
        columns = (samples.times, samples.values, scored.expected, scored.lower, scored.upper, scored.scores)
        self._rows.setdefault(file.stream, []).append(np.stack([*columns, scored.outcomes.astype(np.float64)]))

    def alerts(self, alerts: tuple[Alert, ...]) -> None:
        for alert in alerts:
            self._alerts.setdefault(alert.series.name, []).append(alert)

    def history(self, file: ReplayFile) -> History:
        """Everything recorded about one file."""
        parts = self._rows.get(file.stream, [])
        table = np.concatenate(parts, axis=1) if parts else np.zeros((7, 0))
        times, values, expected, lower, upper, scores, outcomes = table[:, _in_order(table[0], table[-1])]
        valued = np.isin(outcomes, _VALUED)
        return History(
            file.name,
            times,
            np.where(valued, values, np.nan),
            expected,
            lower,
            upper,
            scores,
            outcomes == Outcome.SCORED,
            _episodes(self._alerts.get(file.stream, [])),
        )


def _in_order(times: Float64, outcomes: Float64) -> npt.NDArray[np.int64]:
    """Rows in order of time: those with a value, and those without one whose time fits between their neighbours."""
    valued = np.isin(outcomes, _VALUED)
    before = np.maximum.accumulate(np.where(valued, times, -np.inf))
    after = np.minimum.accumulate(np.where(valued, times, np.inf)[::-1])[::-1]
    empty = np.isin(outcomes, _WITHOUT_VALUE) & (times > before) & (times < after)
    rows = np.flatnonzero(valued | empty)
    return rows[np.argsort(times[rows], kind="stable")]


def _episodes(alerts: list[Alert]) -> tuple[Episode, ...]:
    found: dict[str, Episode] = {}
    for alert in alerts:
        opened = found.get(alert.id)
        found[alert.id] = Episode(
            id=alert.id,
            fired_at=opened.fired_at if opened else alert.time,
            resolved_at=alert.time if alert.status == AlertStatus.RESOLVED else None,
            anomaly_score=alert.anomaly_score,
            direction=alert.direction.value,
            severity=alert.severity.value,
        )
    return tuple(sorted(found.values(), key=lambda episode: episode.fired_at))
