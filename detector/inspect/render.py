"""Renders what was found in a store, for people and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from detector.alerts.summary import shown
from detector.inspect.listing import ListedStream
from detector.inspect.stream import StoredStream
from detector.records import rfc3339
from detector.state.survey import Snapshot, Survey

SKILL_NOTE = " (the network's error relative to repeating the last value: below 1, it helps)"
_AGES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def as_json(found: Sequence[Survey] | Sequence[StoredStream] | Sequence[ListedStream]) -> str:
    """One JSON array; numbers that are not finite become null, because JSON cannot express them."""
    return json.dumps([_plain(asdict(one)) for one in found], indent=2)


def overview(surveys: Iterable[Survey], now: float) -> Iterator[str]:
    """A table of the snapshots of every partition."""
    titles = ("PARTITION", "OFFSET", "WRITTEN", "NEWEST SAMPLE", "STREAMS", "BYTES", "MODEL", "CONDITION")
    rows: list[tuple[str, ...]] = [titles]
    for one in surveys:
        where = f"{one.topic}/{one.partition}"
        rows += [(where, *_snapshot_row(snapshot, now)) for snapshot in one.snapshots]
        if not one.snapshots:
            rows.append((where, "none", *[""] * 5, f"{one.other_blobs} blobs without a snapshot"))
    yield from _table(rows)


def partition(one: Survey, now: float) -> Iterator[str]:
    """The snapshots of a partition, and the blocks of the newest whole one, or else of the newest."""
    yield from overview([one], now)
    yield f"other blobs: {one.other_blobs}"
    if not one.snapshots:
        return
    newest = one.newest_intact or one.snapshots[0]
    if newest.topic_id:
        yield f"topic id: {newest.topic_id}, leader epoch: {newest.leader_epoch}"
    for number, sha256 in enumerate(newest.learnt_weights):
        yield f"learned weights, {'in use' if number == 0 else 'previous'}: {sha256}"
    yield "made with: " + ", ".join(f"{name} {value}" for name, value in newest.fingerprint.items())
    yield ""
    yield f"blocks of the snapshot at {newest.offset}:"
    rows: list[tuple[str, ...]] = [("BLOCK", "WRITTEN AT", "STREAMS", "BYTES", "")]
    rows += [
        (str(block.number), str(block.offset or "?"), str(block.streams), _size(block.bytes), block.damaged or "")
        for block in newest.blocks
    ]
    yield from _table(rows)


def listing(found: Iterable[ListedStream]) -> Iterator[str]:
    """A table with one line per stream; SKILL is the network's error relative to repeating the last value."""
    rows: list[tuple[str, ...]] = [
        ("SERIES", "PARTITION", "NEWEST SAMPLE", "VALUE", "SAMPLES", "FORECASTER", "SKILL", "ALERT")
    ]
    for one in found:
        status = "warming up" if one.warming_up else (one.alert or "another version's columns")
        if one.alert_since:
            held = f" ({one.alert_held})" if one.alert_held else ""
            status = f"{one.alert}{held} since {one.alert_since[:19]}Z{_worst(one)}"
        newest = f"{one.last_time[:19]}Z" if one.last_time else "none"
        skill = "" if one.skill is None or not math.isfinite(one.skill) else f"{one.skill:.2f}"
        known = ["" if number is None else _value(number) for number in (one.last_value, one.samples)]
        figures = (*known, one.forecaster or "", skill, status)
        rows.append((one.series, f"{one.topic}/{one.partition}", newest, *figures))
    yield from _table(rows)


def stream(found: StoredStream) -> Iterator[str]:
    """What a stream's state means."""
    yield found.series
    where = f"{found.topic}/{found.partition}, snapshot at {found.offset}, block {found.block}, row {found.row}"
    lines: list[tuple[str, ...]] = [("stored in", where), ("fingerprint", found.fingerprint)]
    if found.meaning is None:
        note = "in another version's columns; --json shows them as they are stored"
        yield from _table([*lines, ("state", note)])
        return
    for name, value in found.meaning.items():
        entries = value.items() if isinstance(value, dict) else [("", value)]
        note = SKILL_NOTE if name == "skill" else ""
        lines += [(f"{name} {inner}".strip().replace("_", " "), _value(part) + note) for inner, part in entries]
    yield from _table(lines)


def _worst(one: ListedStream) -> str:
    """The worst sample of an open alert."""
    if one.alert_score is None:
        return ""
    score = f", score {one.alert_score:.2f}"
    if one.alert_value is None or one.alert_expected is None:
        return score
    value, expected = shown(one.alert_value, one.alert_expected)
    return f"{score}: {value} instead of {expected}"


def _snapshot_row(snapshot: Snapshot, now: float) -> tuple[str, ...]:
    newest = "none" if snapshot.newest_sample is None else rfc3339(snapshot.newest_sample)[:19] + "Z"
    learnt = f" + {snapshot.learnt_weights[0][:12]}" if snapshot.learnt_weights else ""
    return (
        str(snapshot.offset),
        f"{_age(now - snapshot.written_at)} ago",
        newest,
        str(snapshot.streams),
        _size(snapshot.bytes),
        (snapshot.model or "?") + learnt,
        f"DAMAGED: {snapshot.damaged}" if snapshot.damaged else "intact",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _age(seconds: float) -> str:
    for length, unit in _AGES:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _size(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB" if count >= 1 << 20 else f"{count / 1024:.1f} KiB"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_value, value))
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none yet"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
