"""A host with a clock years ahead does not distort `/metrics`."""

from __future__ import annotations

import numpy as np

from detector.telemetry import Metrics, new_registry
from detector.worker.housekeeping import stream_counts
from tests.pipeline.test_pipeline import START, STEP_SECONDS, batch_of, pipeline_of

PARTITION = ("t", 0)
YEARS = 10 * 365 * 86_400.0
STREAMS, STEPS = 10, 30


def test_clock_ahead_moves_neither_event_time_nor_watched_time() -> None:
    pipeline, metrics = pipeline_of(max_streams=100), Metrics(new_registry())
    for step in range(STEPS):
        times = np.full(STREAMS, START + step * STEP_SECONDS)
        times[3] += YEARS
        batch = batch_of(pipeline, list(range(STREAMS)), times, np.zeros(STREAMS), step * STREAMS)
        pipeline.process(batch, expire=True)
        metrics.observe_streams(stream_counts(pipeline, frozenset({PARTITION})))
    passed = (STEPS - 1) * STEP_SECONDS
    labels = {"topic": "t", "partition": "0"}
    assert metrics.registry.get_sample_value("detector_event_timestamp_seconds", labels) == START + passed
    assert metrics.registry.get_sample_value("detector_stream_watched_seconds_total") == STREAMS * passed
