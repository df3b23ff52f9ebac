"""`python -m benchmarks.throughput.steady [--loads N/SECONDS/PARTITIONS[/burst] ...]`: what keeping up costs.

A real broker, a producer in a process of its own that keeps to its pace, and the whole worker with its state in a
directory. Every stream has a sample in each interval, at a moment of its own; with `burst` all streams of a host at
once, 50 of them. Measured is, after the first sample of each stream, the CPU time of the worker's process over wall
time, and the time from a record's own time to its verdict.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from detector.app import build_worker
from detector.config import Config
from detector.records import Float64, SampleBatch, ScoredBatch
from tests.kafka.cluster import Cluster
from tests.kafka.endpoint import Endpoint

HOST_STREAMS = 50
TICK_SECONDS = 0.01
LOADS = ("1000/10/4", "10000/60/4", "10000/60/4/burst", "10000/10/4", "10000/10/32", "50000/10/4")


class Load(NamedTuple):
    """What the producer does."""

    streams: int
    interval_seconds: float
    partitions: int
    burst: bool

    @classmethod
    def of(cls, text: str) -> Self:
        """From `N/SECONDS/PARTITIONS[/burst]`."""
        streams, interval, partitions, *rest = text.split("/")
        return cls(int(streams), float(interval), int(partitions), rest == ["burst"])

    def phases(self) -> Float64:
        """[streams] when in an interval each stream has its sample, in shares of it."""
        by = HOST_STREAMS if self.burst else 1
        return np.random.default_rng(0).random(-(-self.streams // by)).repeat(by)[: self.streams]


def record(stream: int, value: float, now: float) -> tuple[bytes, bytes]:
    """Key and value."""
    host = f"host-{stream // HOST_STREAMS}"
    text = (
        f'{{"name":"m{stream % HOST_STREAMS}","labels":{{"host":"{host}"}},"timestamp":{now:.3f},"value":{value:.6f}}}'
    )
    return host.encode(), text.encode()


def produce(bootstrap: str, topic: str, load: Load, seconds: float) -> None:
    """A sample of every stream at once, then so many seconds at the load's pace."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
    rng = np.random.default_rng(1)

    def send(streams: list[int]) -> None:
        now = time.time()
        for stream, value in zip(streams, rng.normal(size=len(streams)).tolist(), strict=True):
            key, text = record(stream, value, now)
            producer.produce(topic, text, key, partition=stream // HOST_STREAMS % load.partitions)
        producer.poll(0)

    send(list(range(load.streams)))
    producer.flush()
    print("filled", flush=True)
    sys.stdin.readline()
    order = np.argsort(load.phases(), kind="stable")
    phases = load.phases()[order] * load.interval_seconds
    began, sent = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        rounds, into = divmod(now, load.interval_seconds)
        due = int(rounds) * load.streams + int(np.searchsorted(phases, into))
        send([int(order[at % load.streams]) for at in range(sent, due)])
        sent = due
        time.sleep(TICK_SECONDS)
    producer.flush()


def config_for(bootstrap: str, topic: str, folder: str, wait_seconds: float | None, checkpoint: float) -> Config:
    """The defaults, but for where to read, that nobody takes the alerts, and seconds between checkpoints."""
    source: dict[str, object] = {"topics": [topic], "group_id": topic, "start": "earliest"}
    if wait_seconds is not None:
        source["fetch_max_wait_seconds"] = wait_seconds
    return Config.model_validate(
        {
            "kafka": {"bootstrap_servers": [bootstrap]},
            "source": {"kafka": source},
            "sinks": {"kafka": {"enabled": False}},
            "checkpoint": {"interval_seconds": checkpoint},
            "state": {"type": "directory", "directory": {"path": folder}},
            "telemetry": {"listen": "127.0.0.1:0", "log_level": "error"},
        }
    )


def measure(
    endpoint: Endpoint, load: Load, seconds: float, wait_seconds: float | None, checkpoint: float
) -> tuple[float, Float64, int]:
    """Share of a core, delay of each sample in seconds, turns of the loop that had records."""
    topic = endpoint.create_topic(partitions=load.partitions)
    text = "/".join([str(load.streams), str(load.interval_seconds), str(load.partitions), *["burst"] * load.burst])
    command = [sys.executable, "-m", "benchmarks.throughput.steady", "--produce", endpoint.bootstrap, topic]
    delays: list[Float64] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        producer = stack.enter_context(
            subprocess.Popen(
                [*command, "--loads", text, "--seconds", str(2 * seconds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(producer.kill)
        assert producer.stdin is not None
        assert producer.stdout is not None
        producer.stdout.readline()
        worker = build_worker(config_for(endpoint.bootstrap, topic, folder, wait_seconds, checkpoint), stack)
        while sum(worker.positions.values()) < load.streams:
            worker.turn()
        observe = worker.telemetry.metrics.observe_scored

        def observed(batch: SampleBatch, scored: ScoredBatch, now: float) -> None:
            delays.append(now - batch.record_times)
            observe(batch, scored, now)

        producer.stdin.write("go\n")
        producer.stdin.flush()
        while sum(worker.positions.values()) < load.streams + 2 * load.streams / load.interval_seconds:
            worker.turn()
        worker.telemetry.metrics.observe_scored = observed  # type: ignore[method-assign]
        began, cpu, turns = time.monotonic(), time.process_time(), 0
        while time.monotonic() - began < seconds:
            before = len(delays)
            worker.turn()
            turns += len(delays) > before
        share = (time.process_time() - cpu) / (time.monotonic() - began)
    return share, np.concatenate(delays), turns


def main() -> None:
    """Parse the arguments, start a broker, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", nargs="+", default=LOADS)
    parser.add_argument("--seconds", type=float, default=20.0, help="that are measured of each load")
    parser.add_argument("--wait", type=float, nargs="+", default=[None], help="source.kafka.fetch_max_wait_seconds")
    parser.add_argument("--checkpoint", type=float, default=10.0, help="checkpoint.interval_seconds")
    parser.add_argument("--produce", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.produce:
        bootstrap, topic = options.produce
        produce(bootstrap, topic, Load.of(options.loads[0]), options.seconds)
        return
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        print(f"{'load':<18} {'wait':>6} {'core':>6} {'us':>6} {'turns/s':>8} {'delay: mean':>12} {'95%':>6}")
        for text in options.loads:
            for wait in options.wait:
                share, delays, turns = measure(
                    cluster.endpoint, Load.of(text), options.seconds, wait, options.checkpoint
                )
                micro = 1e6 * share * options.seconds / len(delays)
                mean, most = 1e3 * delays.mean(), 1e3 * np.quantile(delays, 0.95)
                print(
                    f"{text:<18} {'-' if wait is None else wait:>6} {share:>6.1%} {micro:>6.0f} "
                    f"{turns / options.seconds:>8.1f} {mean:>9.0f} ms {most:>6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
