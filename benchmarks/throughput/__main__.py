"""`python -m benchmarks.throughput [--streams N ...] [--profile compact] [--history N] [--json FILE]`: cost a sample.

Floors: the Kafka client alone, decoding alone, the network's kernel alone. Then the worker with everything, by stage.
CPU time is that of the whole process, the client's own thread included; ratios are to the sum of the floors. The
broker is started for the run (Java and Maven are needed), the records come from an independent producer. With
`--history` every stream has that many samples behind it, which are read and not measured: a worker is as old as its
streams, and young memories cost more.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from benchmarks import json_file
from benchmarks.throughput.load import PARTITIONS, fill
from detector.app import build_pipeline, build_worker
from detector.columns import BLOCK_ROWS
from detector.config import Config
from detector.decoders import DECODERS
from detector.models.features import FEATURES
from detector.models.forecaster import Forecaster
from detector.records import RawBatch
from detector.sources import SOURCES
from detector.telemetry.metrics import STAGES
from tests.kafka.cluster import Cluster

MICRO = 1e6


def config_for(bootstrap: str, topic: str, streams: int, group: str, profile: str) -> Config:
    """The defaults, but for where to read and that nobody takes the alerts."""
    return Config.model_validate(
        {
            "kafka": {"bootstrap_servers": [bootstrap]},
            "source": {"kafka": {"topics": [topic], "group_id": group, "start": "earliest"}},
            "sinks": {"kafka": {"enabled": False}},
            "streams": {"max_streams_per_partition": streams},
            "model": {"profile": profile},
            "state": {"type": "none"},
            "telemetry": {"listen": "127.0.0.1:0", "log_level": "error"},
        }
    )


def client_alone(config: Config, past: int, samples: int) -> tuple[float, list[RawBatch]]:
    """CPU seconds to read `samples` records behind the `past` ones, and these records."""
    source = SOURCES["kafka"](config)
    batches: list[RawBatch] = []
    count = 0
    try:
        while count <= past:
            source.resume(source.changes().assigned)
            batches = source.poll(0.5)
            count += sum(map(len, batches))
        began, already = process_time(), count
        while count < past + samples:
            polled = source.poll(0.5)
            batches += polled
            count += sum(map(len, polled))
        return (process_time() - began) * samples / (past + samples - already), batches
    finally:
        source.close(5.0)


def decode_alone(config: Config, batches: list[RawBatch], *, known: bool) -> float:
    """CPU seconds to turn the records into columns, of series that were seen before if they are `known`."""
    pipeline = build_pipeline(config)
    decoder = DECODERS["json"](config.decoder)
    for _ in range(1 + known):
        began = process_time()
        for batch in batches:
            decoder.decode(batch, pipeline.table.series((batch.topic, batch.partition)))
    return process_time() - began


def kernel_alone(samples: int) -> float:
    """CPU seconds of the bare network at its fixed shape, as many rows as there are samples."""
    forecaster = Forecaster()
    backbone = forecaster.weights.backbone
    size = backbone.shape.state_size
    inputs, hidden, cell = (torch.zeros(BLOCK_ROWS, width) for width in (FEATURES, size, size))
    torch.set_num_threads(1)
    with torch.inference_mode():
        backbone.step(inputs, hidden, cell)
        began = process_time()
        for _ in range(-(-samples // BLOCK_ROWS)):
            backbone.step(inputs, hidden, cell)
        return process_time() - began


def end_to_end(config: Config, past: int, samples: int) -> tuple[float, dict[str, float], int]:
    """CPU seconds of the worker until all behind the `past` is scored and committed; wall seconds by stage; state."""
    with ExitStack() as stack:
        worker = build_worker(config, stack)
        metrics = worker.telemetry.metrics

        def seconds(stage: str) -> float:
            return metrics.registry.get_sample_value("detector_stage_seconds_total", {"stage": stage}) or 0.0

        while not worker.positions or sum(worker.positions.values()) <= past:
            worker.turn()
        already = sum(worker.positions.values())
        before = {stage: seconds(stage) for stage in STAGES}
        began = process_time()
        while sum(worker.positions.values()) < past + samples:
            worker.turn()
        worker.stop()
        worker.run()
        scale = samples / (past + samples - already)
        cpu = (process_time() - began) * scale
        return (
            cpu,
            {stage: (seconds(stage) - before[stage]) * scale for stage in STAGES},
            worker.pipeline.table.bytes_per_stream,
        )


def measure(cluster: Cluster, streams: int, samples: int, profile: str, history: int) -> dict[str, Any]:
    """One row of the table."""
    steps = -(-samples // streams)
    samples, past = steps * streams, history * streams
    topic = cluster.endpoint.create_topic(partitions=PARTITIONS)
    fill(cluster.endpoint, topic, streams, history + steps)

    def config(group: str) -> Config:
        return config_for(cluster.bootstrap, topic, streams, f"{topic}-{group}", profile)

    client, batches = client_alone(config("client"), past, samples)
    decode = decode_alone(config("decode"), batches, known=history > 0)
    del batches
    kernel = kernel_alone(samples)
    total, stages, state_bytes = end_to_end(config("worker"), past, samples)
    floor = client + decode + kernel
    per_sample: Callable[[float], float] = lambda seconds: round(seconds * MICRO / samples, 3)  # noqa: E731
    return {
        "profile": profile,
        "streams": streams,
        "samples": samples,
        "history": history,
        "client_us": per_sample(client),
        "decode_us": per_sample(decode),
        "kernel_us": per_sample(kernel),
        "end_to_end_us": per_sample(total),
        "ratio_to_floor": round(total / floor, 2),
        "stage_us": {stage: per_sample(value) for stage, value in stages.items()},
        "state_bytes_per_stream": state_bytes,
    }


def main() -> None:
    """Parse the arguments, start a broker, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--samples", type=int, default=600_000, help="records of each row of the table, at least")
    parser.add_argument("--history", type=int, default=0, help="samples of each stream that are read before them")
    parser.add_argument("--profile", choices=("full", "compact"), default="full")
    parser.add_argument("--json", type=json_file.destination)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        print("CPU microseconds a sample; stages are wall time\n")
        print(f"{'streams':>8} {'client':>7} {'decode':>7} {'kernel':>7} {'end to end':>11} {'ratio':>6}   stages")
        for streams in options.streams:
            row = measure(cluster, streams, max(options.samples, 4 * streams), options.profile, options.history)
            rows.append(row)
            stages = "  ".join(f"{name} {value:.2f}" for name, value in row["stage_us"].items())
            print(
                f"{row['streams']:>8} {row['client_us']:>7.2f} {row['decode_us']:>7.2f} {row['kernel_us']:>7.2f} "
                f"{row['end_to_end_us']:>11.2f} {row['ratio_to_floor']:>6.2f}   {stages}"
            )
    json_file.write(options.json, {"rows": rows, "torch": torch.__version__, "numpy": np.__version__})


if __name__ == "__main__":
    main()
