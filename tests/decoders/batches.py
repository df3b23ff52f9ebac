"""Raw batches for decoder tests."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from detector.records import Outcome, RawBatch, SampleBatch
from detector.series import SeriesIndex

RECORD_TIME = 1_700_000_000.5


def raw(*values: bytes | None, topic: str = "metrics", first: int = 1, record_time: float = RECORD_TIME) -> RawBatch:
    count = len(values)
    return RawBatch(
        topic=topic,
        partition=3,
        offsets=np.arange(first, first + count),
        record_times=np.full(count, record_time),
        values=list(values),
        keys=[b"key"] * count,
    )


def packed(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def readable(samples: SampleBatch, series: SeriesIndex) -> list[tuple[str, float, float | None, str, int]]:
    """(series, time, value, outcome, offset) of each sample; a value that is NaN is None."""
    return [
        (str(series.key(handle)), time, None if value != value else value, Outcome(outcome).name, offset)
        for handle, time, value, outcome, offset in zip(
            samples.series.tolist(),
            samples.times.tolist(),
            samples.values.tolist(),
            samples.outcomes.tolist(),
            samples.offsets.tolist(),
            strict=True,
        )
    ]
