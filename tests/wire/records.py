"""The captured records and their metadata."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from detector.records import RawBatch

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Record:
    """A record as its producer wrote it."""

    timestamp_ms: int
    value: bytes


@cache
def records(name: str) -> tuple[Record, ...]:
    """Records in the order written, one partition after the other."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return tuple(Record(each["timestamp_ms"], b64decode(each["value"])) for each in found)


def expected(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.expected.jsonl").read_text().splitlines()]


def batch(found: tuple[Record, ...], topic: str = "metrics", partition: int = 0) -> RawBatch:
    times = np.array([record.timestamp_ms / 1e3 for record in found])
    values: list[bytes | None] = [record.value for record in found]
    return RawBatch(topic, partition, np.arange(len(found)), times, values, [None] * len(found))
