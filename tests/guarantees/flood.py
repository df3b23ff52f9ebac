"""A flood of a million names that appear once, beside streams that matter; a process that prints its results as JSON.

The results: the streams' alerts without and with the flood, and memory under a limit of the address space that is set
after the first twentieth of the flood.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.alerts import Lifecycle
from detector.config.decoder import Decoder as Settings
from detector.decoders import DECODERS
from detector.pipeline import Pipeline
from detector.records import Outcome, RawBatch
from detector.scoring import Scorer, ScorerSettings
from detector.testing import LastValueForecaster

PARTITION = ("metrics", 0)
STREAMS, NEWCOMERS, STEPS = 200, 400, 500
LIMIT = 4_096
START, STEP_SECONDS, EVICT_IDLE_SECONDS = 1_700_000_000, 60, 3_600.0
HEADROOM_BYTES = 48 << 20


def pipeline_of() -> Pipeline:
    return Pipeline(
        LastValueForecaster(),
        Scorer(ScorerSettings(warmup_samples=20)),
        Lifecycle(
            anomalous=1, of=1, recovery_normal=3, recovery_below=0.8, max_firing_seconds=1e9, cooldown_seconds=0.0
        ),
        max_streams=LIMIT,
        idle_expiry_seconds=1e9,
        evict_idle_seconds=EVICT_IDLE_SECONDS,
        max_future_seconds=3_600.0,
        critical_score=2.0,
        model="last-value",
    )


def steps(flood: int) -> Iterator[list[bytes]]:
    """The records of each step: half of the step's flood before the streams that matter, half after them."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(STEPS, STREAMS))
    values[rng.integers(30, STEPS, 60), rng.integers(0, STREAMS, 60)] = 1e3
    each = flood // STEPS
    for step in range(STEPS):
        at = START + STEP_SECONDS * step
        names = [f"n-{number}" for number in range(step * each, (step + 1) * each)]
        junk = [b'{"name":"%s","timestamp":%d,"value":1}' % (name.encode(), at) for name in names]
        ours = [
            b'{"name":"s-%d","timestamp":%d,"value":%r}' % (stream, at, value)
            for stream, value in enumerate(values[step].tolist())
        ]
        if step >= STEPS - 100:
            ours += [b'{"name":"new-%d","timestamp":%d,"value":1}' % (stream, at) for stream in range(NEWCOMERS)]
        yield [*junk[: each // 2], *ours, *junk[each // 2 :]]


def run(flood: int, *, limited: bool) -> dict[str, object]:
    pipeline, decoder = pipeline_of(), DECODERS["json"](Settings())
    alerts, outcomes = [], Counter[str]()
    spent = {"decode": 0.0, "pipeline": 0.0}
    first = 0
    for step, records in enumerate(steps(flood)):
        if limited and step == STEPS // 20:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + HEADROOM_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        count = len(records)
        nothing = np.full(count, np.nan)
        batch = RawBatch(*PARTITION, np.arange(first, first + count), nothing, list(records), [None] * count)
        started = time.process_time()
        samples = decoder.decode(batch, pipeline.table.series(PARTITION))
        decoded = time.process_time()
        scored = pipeline.process(samples, expire=True)
        spent["decode"] += decoded - started
        spent["pipeline"] += time.process_time() - decoded
        found = [alert for alert in scored.alerts if alert.series.name.startswith("s-")]
        alerts += [f"{alert.id} {alert.status.name} {alert.anomaly_score!r}" for alert in found]
        outcomes.update(Outcome(value).name for value in scored.outcomes.tolist())
        first += count
    table = pipeline.table
    kept = Counter(table.key(row).name.partition("-")[0] for row in table.occupied(PARTITION).tolist())
    return {
        "alerts": alerts,
        "outcomes": outcomes,
        "kept": kept,
        "evicted": table.evicted,
        "us_per_sample": {stage: 1e6 * seconds / first for stage, seconds in spent.items()},
    }


if __name__ == "__main__":
    quiet = run(0, limited=False)
    print(json.dumps({"without": quiet, "with": run(int(sys.argv[1]), limited=True)}))
