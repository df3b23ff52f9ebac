"""G18: the size of a scrape does not grow with the number of streams."""

from __future__ import annotations

import time

import numpy as np
from prometheus_client import generate_latest

from detector.telemetry import Metrics, new_registry
from detector.worker.housekeeping import stream_counts
from tests.pipeline.test_pipeline import START, STEP_SECONDS, batch_of, pipeline_of

SCRAPE_SECONDS = 0.2


def scrape(streams: int) -> tuple[int, float]:
    """The samples of a scrape and its CPU seconds, for a worker with this number of streams, some of which alert."""
    pipeline, metrics = pipeline_of(max_streams=2 * streams), Metrics(new_registry())
    values = np.zeros(streams)
    for step in range(2):
        times = np.full(streams, START + step * STEP_SECONDS)
        batch = batch_of(pipeline, list(range(streams)), times, values, step * streams)
        metrics.observe_decoded(batch)
        metrics.observe_scored(batch, pipeline.process(batch, expire=True), START)
    metrics.observe_streams(stream_counts(pipeline, frozenset({("t", 0)})))
    assert metrics.registry.get_sample_value("detector_streams") == streams
    seconds = []
    for _ in range(5):
        began = time.process_time()
        lines = generate_latest(metrics.registry).decode().splitlines()
        seconds.append(time.process_time() - began)
    return sum(not line.startswith("#") for line in lines), min(seconds)


def test_g18_scrape_has_the_same_size_with_100_and_with_100_000_streams() -> None:
    few, _ = scrape(100)
    many, seconds = scrape(100_000)
    print(f"{many} samples in {1000 * seconds:.1f} ms")
    assert few == many
    assert seconds < SCRAPE_SECONDS
