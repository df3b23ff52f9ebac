"""Machines with many metrics (SMD, ASD): labels judge the machine, so the score is the machine's.

Group score = the product's (`machines.py`); for peers, the mean of the three largest of its metrics' scores. ROC,
average precision and VUS-PR per machine, averaged, with the standard error over machines; incidents at one threshold
for all machines, where a false episode is a run of detections outside incidents that ends after `EPISODE_END_ROWS` rows
without one. VUS-PR is TSB-AD's own, and left out where that package is not installed (`make peers` brings it).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from benchmarks.detection.machine_files import Machine
from detector.records import Float64, Int64

LARGEST = 3
EPISODE_END_ROWS = 10
DAY_SECONDS = 86_400.0
VUS_BUFFER_ROWS = 100
VUS_THRESHOLDS = 250
Bools = npt.NDArray[np.bool_]


def group_score(scores: npt.NDArray[np.floating]) -> Float64:
    """[T, M] metric scores to [T]."""
    largest = min(LARGEST, scores.shape[1])
    return np.asarray(np.partition(scores, -largest, axis=1)[:, -largest:].mean(axis=1), dtype=np.float64)


def runs(mask: Bools, join_rows: int = 1) -> Int64:
    """[R, 2] first and last row of each run of true rows; runs closer than `join_rows` are one.

    >>> runs(np.array([1, 0, 1, 1, 0, 0, 1], bool)).tolist()
    [[0, 0], [2, 3], [6, 6]]
    >>> runs(np.array([1, 0, 1, 1, 0, 0, 1], bool), join_rows=2).tolist()
    [[0, 3], [6, 6]]
    """
    rows = np.flatnonzero(mask)
    if not len(rows):
        return np.zeros((0, 2), dtype=np.int64)
    split = np.flatnonzero(np.diff(rows) > join_rows)
    return np.stack([rows[np.append(0, split + 1)], rows[np.append(split, len(rows) - 1)]], axis=1)


def roc_and_average_precision(labels: Bools, scores: Float64) -> tuple[float, float]:
    """Areas under the ROC curve and the precision-recall curve, ties taken together; NaN without rows of both kinds."""
    if labels.all() or not labels.any():
        return float("nan"), float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0.0, True)
    true = np.cumsum(labels[order])[last].astype(float)
    false = np.cumsum(~labels[order])[last].astype(float)
    roc = np.trapezoid(np.append(0.0, true / true[-1]), np.append(0.0, false / false[-1]))
    precision = true / (true + false)
    return float(roc), float((np.diff(np.append(0.0, true / true[-1])) * precision).sum())


def vus_pr(labels: Bools, scores: Float64) -> float:
    """Volume under the surface of precision and recall over buffers of 0 to 100 rows (Paparrizos et al. 2022)."""
    if labels.all() or not labels.any():
        return float("nan")
    from TSB_AD.evaluation.basic_metrics import generate_curve

    return float(generate_curve(labels.astype(int), scores, VUS_BUFFER_ROWS, "opt", VUS_THRESHOLDS)[-1])


def areas(machines: Sequence[Machine], groups: Sequence[Float64]) -> dict[str, Float64]:
    """[machines] of each area under a curve."""
    pairs = [(machine.labels, group) for machine, group in zip(machines, groups, strict=True)]
    roc, precision = np.array([roc_and_average_precision(*pair) for pair in pairs]).T
    return {"average_precision": precision, "roc": roc}


def volumes(machines: Sequence[Machine], groups: Sequence[Float64]) -> dict[str, Float64]:
    """[machines] of VUS-PR, if its package is installed."""
    if find_spec("TSB_AD") is None:
        return {}
    return {"vus_pr": np.array([vus_pr(one.labels, group) for one, group in zip(machines, groups, strict=True)])}


def false_episodes(labels: Bools, detected: Bools) -> int:
    """Runs of detections that touch no incident."""
    inside = np.append(0, np.cumsum(labels))
    episodes = runs(detected, EPISODE_END_ROWS)
    return int((inside[episodes[:, 1] + 1] == inside[episodes[:, 0]]).sum())


def incidents_caught(
    machines: Sequence[Machine], groups: Sequence[Float64], threshold: float
) -> tuple[float, float, float]:
    """(share of incidents, median delay in rows, false episodes a machine-day) where detection is score > threshold.

    NaN without an incident, one that is caught, or a row outside of incidents.
    """
    delays, false, days = [], 0, 0.0
    for machine, group in zip(machines, groups, strict=True):
        detected = group > threshold
        hits = np.flatnonzero(detected)
        for first, last in runs(machine.labels):
            at = np.searchsorted(hits, first)
            delays.append(hits[at] - first if at < len(hits) and hits[at] <= last else np.inf)
        false += false_episodes(machine.labels, detected)
        days += (~machine.labels).sum() * machine.step_seconds / DAY_SECONDS
    caught = np.isfinite(delays)
    delay = float(np.median(np.array(delays)[caught])) if caught.any() else float("nan")
    return float(caught.mean()) if delays else float("nan"), delay, false / days if days else float("nan")


def evaluate(
    machines: Sequence[Machine], groups: Sequence[Float64], own_threshold: float = 1.0, false_per_day: float = 1.0
) -> dict[str, float]:
    """Figures over machines; `groups` are the group scores of the test rows. NaN where a figure has no meaning."""
    figures: dict[str, float] = {}
    for name, area in (areas(machines, groups) | volumes(machines, groups)).items():
        known = area[np.isfinite(area)]
        figures[name] = float(known.mean()) if len(known) else float("nan")
        if len(known) > 1:
            figures[f"{name}_standard_error"] = float(known.std(ddof=1) / np.sqrt(len(known)))
    own = incidents_caught(machines, groups, own_threshold)
    return figures | {
        "caught_in_budget": _caught_within(machines, groups, false_per_day),
        "caught_at_own_threshold": own[0],
        "delay_rows_at_own_threshold": own[1],
        "false_per_machine_day_at_own_threshold": own[2],
    }


def _caught_within(machines: Sequence[Machine], groups: Sequence[Float64], false_per_day: float) -> float:
    """Largest share of incidents at a threshold with at most so many false episodes a machine-day."""
    pooled = np.concatenate([g[~m.labels] for m, g in zip(machines, groups, strict=True)])
    if not len(pooled) or not any(machine.labels.any() for machine in machines):
        return float("nan")
    ladder = np.append(np.unique(np.quantile(pooled, 1.0 - np.geomspace(1e-6, 0.3, 160))), pooled.max())
    found = np.array([incidents_caught(machines, groups, float(threshold)) for threshold in ladder])
    return float(found[found[:, 2] <= false_per_day, 0].max(initial=0.0))
