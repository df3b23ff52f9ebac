"""`python -m benchmarks.decode [--records N] [--repeat N] [--json FILE]`.

Microseconds of CPU time a sample, the best of some repetitions, over records of 1,000 series that are known already,
but for `each of a new series`. Beside it the floor: the parser alone, on the same records.
"""

from __future__ import annotations

import argparse
import io
import json
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cramjam
import fastavro
import msgspec
import numpy as np

from benchmarks import json_file
from detector.config.decoder import Decoder as Settings
from detector.decoders import DECODERS
from detector.protocols import Decoder
from detector.records import RawBatch
from detector.routing.lanes import Lanes
from detector.series import SeriesIndex

SERIES = 1_000
BATCH_RECORDS = 5_000
FLOOR = "the parser alone"
NESTED = {"json": {"fields": {"name": "metric.name", "labels": "metric.tags"}}}


@dataclass(frozen=True, slots=True)
class Case:
    """Records of one shape, and what reads them."""

    name: str
    records: list[bytes]
    decoder: Decoder
    forgets: bool = False
    """Start every repetition without a known series."""


def sample(number: int) -> dict[str, Any]:
    labels = {"host": f"host-{number % SERIES // 8:03d}", "cpu": str(number % 8), "mode": "user"}
    return {"name": "node_cpu_seconds", "labels": labels, "timestamp": 1.7e12 + number, "value": number * 0.37}


def packed(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def new(number: int) -> dict[str, Any]:
    return {**sample(number), "labels": {"host": f"host-{number:06d}", "cpu": "0", "mode": "user"}}


def adapter(number: int) -> dict[str, Any]:
    """As prometheus-kafka-adapter writes it: value and time are texts."""
    moment = f"2024-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:00Z"
    return {**sample(number), "timestamp": moment, "value": repr(number * 0.37)}


def nested(number: int) -> dict[str, Any]:
    plain = sample(number)
    return {"metric": {"name": plain["name"], "tags": plain["labels"]}, **plain}


def line(number: int) -> bytes:
    return b"2024-01-%02d %02d:%02d:00,%a" % (
        number // 1440 % 28 + 1,
        number // 60 % 24,
        number % 60,
        number * 0.37,
    )


def telegraf(number: int) -> dict[str, Any]:
    """A metric of ten fields."""
    plain = sample(number)
    fields = {f"usage_{field}": number * 0.37 + field for field in range(10)}
    return {"fields": fields, "name": "cpu", "tags": plain["labels"], "timestamp": 1_700_000_000 + number}


def influx(number: int) -> bytes:
    """The same in line protocol."""
    metric = telegraf(number)
    tags = "".join(f",{tag}={value}" for tag, value in metric["tags"].items())
    fields = ",".join(f"{field}={value!r}" for field, value in metric["fields"].items())
    return f"cpu{tags} {fields} {metric['timestamp']}000000000\n".encode()


def collectd(number: int) -> list[dict[str, Any]]:
    """A list of two values."""
    host = sample(number)["labels"]["host"]
    place = {"host": host, "plugin": "interface", "plugin_instance": "eth0", "type": "if_octets", "type_instance": ""}
    values = {"values": [number * 0.37, number], "dstypes": ["derive"] * 2, "dsnames": ["rx", "tx"]}
    return [{**values, "time": 1.7e9 + number, "interval": 10.0, **place}]


def remote_write(count: int) -> list[bytes]:
    """Requests of a hundred series, as one scrape of a target is sent."""

    def part(field: int, content: bytes) -> bytes:
        return (
            bytes([field << 3 | 2, *([len(content)] if len(content) < 128 else [len(content) & 127 | 128, 1])])
            + content
        )

    def series(number: int) -> bytes:
        plain = sample(number)
        labels = sorted({"__name__": plain["name"], "instance": "10.0.0.1:9100", **plain["labels"]}.items())
        named = b"".join(part(1, part(1, name.encode()) + part(2, value.encode())) for name, value in labels)
        value = b"\x09" + struct.pack("<d", number * 0.37) + b"\x10" + bytes.fromhex("8080b1e6fb31")
        return part(1, named + part(2, value))

    requests = (b"".join(series(n) for n in range(at, at + 100)) for at in range(0, count, 100))
    return [bytes(cramjam.snappy.compress_raw(request)) for request in requests]


def remote_write_2(count: int, at_once: int) -> list[bytes]:
    """The same in version 2.0, with the metrics' metadata; `at_once` series a request, Prometheus' default is 2,000."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)

    def part(field: int, content: bytes) -> bytes:
        return number(field << 3 | 2) + number(len(content)) + content

    def series(at: int, table: dict[str, int]) -> bytes:
        def reference(text: str) -> bytes:
            return number(table.setdefault(text, len(table)))

        plain = sample(at)
        labels = sorted({"__name__": plain["name"], "instance": "10.0.0.1:9100", **plain["labels"]}.items())
        named = b"".join(reference(name) + reference(value) for name, value in labels)
        value = b"\x09" + struct.pack("<d", at * 0.37) + b"\x10" + bytes.fromhex("8080b1e6fb31")
        metadata = b"\x08\x01\x18" + reference("Seconds the CPUs spent in each mode.")
        return part(5, part(1, named) + part(2, value) + part(5, metadata))

    def request(first: int) -> bytes:
        table = {"": 0}
        written = b"".join(series(at, table) for at in range(first, min(first + at_once, count)))
        return b"".join(part(4, text.encode()) for text in table) + written

    return [bytes(cramjam.snappy.compress_raw(request(first))) for first in range(0, count, at_once)]


def otlp(count: int) -> list[bytes]:
    """One resource of a hundred gauges, as an exporter sends them."""

    def part(field: int, content: bytes) -> bytes:
        size, written = len(content), b""
        while size >= 128:
            size, written = size >> 7, written + bytes([size & 127 | 128])
        return bytes([field << 3 | 2]) + written + bytes([size]) + content

    def pair(field: int, name: str, value: str) -> bytes:
        return part(field, part(1, name.encode()) + part(2, part(1, value.encode())))

    def metric(number: int) -> bytes:
        plain = sample(number)
        labels = b"".join(pair(7, *each) for each in plain["labels"].items())
        time = (1_700_000_000_000_000_000 + number * 1_000_000_000).to_bytes(8, "little")
        point = b"\x11" + time + b"\x19" + time + b"\x21" + struct.pack("<d", number * 0.37) + labels
        return part(2, part(1, plain["name"].encode()) + part(5, part(1, point)))

    owner = part(1, pair(1, "service.name", "checkout") + pair(1, "host.name", "web-03"))
    scopes = (b"".join(map(metric, range(at, at + 100))) for at in range(0, count, 100))
    return [part(1, owner + part(2, part(1, part(1, b"app")) + metrics)) for metrics in scopes]


def avro(count: int, at_once: int = 1) -> Case:
    """As Confluent's serializer writes it, one sample a record or more of them."""
    fields: list[dict[str, Any]] = [
        {"name": "name", "type": "string"},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
        {"name": "timestamp", "type": "long"},
        {"name": "value", "type": ["null", "double"]},
    ]
    one: dict[str, Any] = {"type": "record", "name": "Metric", "fields": fields}
    schema = fastavro.parse_schema(one if at_once == 1 else {"type": "array", "items": one})

    def record(first: int) -> bytes:
        samples = [
            {**plain, "timestamp": int(plain["timestamp"])} for plain in map(sample, range(first, first + at_once))
        ]
        out = io.BytesIO(b"\x00\x00\x00\x00\x01")
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, schema, samples[0] if at_once == 1 else samples)
        return out.getvalue()

    with tempfile.NamedTemporaryFile("w", suffix=".avsc") as file:
        fields[2]["type"] = {"type": "long", "logicalType": "timestamp-millis"}
        json.dump(one if at_once == 1 else {"type": "array", "items": one}, file)
        file.flush()
        settings = Settings.model_validate({"type": "avro", "avro": {"schemas": {1: file.name}}})
        decoder = DECODERS["avro"](settings)
    name = "avro, one sample a record" if at_once == 1 else f"avro, array of {at_once}"
    return Case(name, [record(first) for first in range(0, count, at_once)], decoder)


def vector(number: int) -> dict[str, Any]:
    """A gauge; events of a scrape share their time."""
    plain = sample(number)
    moment = f"2024-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:00.123456789Z"
    value = {"timestamp": moment, "kind": "absolute", "gauge": {"value": number * 0.37}}
    return {"name": "cpu_seconds", "namespace": "host", "tags": plain["labels"], **value}


def metricbeat(number: int) -> dict[str, Any]:
    """A CPU's event of ten numbers, with what is said of agent and host: about as long as real ones."""
    host = sample(number)["labels"]["host"]
    modes = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "total", "user")
    moment = f"2024-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.123Z"
    identity = f"0a1b2c3d-0000-4000-8000-{number % SERIES:012d}"
    system = {"family": "debian", "kernel": "6.1.0-18-amd64", "name": "Debian GNU/Linux", "version": "12 (bookworm)"}
    addresses = [f"10.0.{n}.1" for n in range(8)]
    return {
        "@timestamp": moment,
        "@metadata": {"beat": "metricbeat", "type": "_doc", "version": "8.15.0"},
        "agent": {"ephemeral_id": identity, "id": identity, "name": host, "type": "metricbeat", "version": "8.15.0"},
        "ecs": {"version": "8.0.0"},
        "event": {"dataset": "system.core", "duration": 115000 + number, "module": "system"},
        "host": {"architecture": "x86_64", "hostname": host, "ip": addresses, "name": host, "os": system},
        "metricset": {"name": "core", "period": 10000},
        "service": {"type": "system"},
        "system": {"core": {"id": number % 8} | {mode: {"pct": number * 0.37} for mode in modes} | {"mhz": 3400.5}},
    }


def routed(count: int) -> list[bytes]:
    """Samples on the internal topic, thousands a record."""
    lanes = Lanes(1, count)
    decoder = DECODERS["json"](Settings())
    samples = [decoder.decode(batch, lanes.series) for batch in batches([packed(sample(n)) for n in range(count)])]
    return [message.value or b"" for batch in samples for message in lanes.records(batch)]


def cases(count: int) -> list[Case]:
    numbers = range(count)
    hundreds = range(0, count, 100)
    read = DECODERS["json"](Settings())
    one = [packed(sample(n)) for n in numbers]
    named = [packed({"stream": f"cpu-{n % SERIES}", "timestamp": 1.7e9 + n, "value": n * 0.37}) for n in numbers]
    return [
        Case("one object a record", one, read),
        Case("one object with a stream's name", named, read),
        Case("texts for time and value", [packed(adapter(n)) for n in numbers], read),
        Case("array of 100", [packed([sample(n) for n in range(at, at + 100)]) for at in hundreds], read),
        Case("100 lines", [b"\n".join(one[at : at + 100]) for at in hundreds], read),
        Case("nested fields", [packed(nested(n)) for n in numbers], DECODERS["json"](Settings.model_validate(NESTED))),
        Case("every other one broken", [record if n % 2 else record[:-9] for n, record in enumerate(one)], read),
        Case("each of a new series", [packed(new(n)) for n in numbers], read, forgets=True),
        avro(count),
        avro(count, 100),
        Case("telegraf, 10 fields", [packed(telegraf(n)) for n in hundreds], DECODERS["telegraf"](Settings())),
        Case("influx, 10 fields", [influx(n) for n in hundreds], DECODERS["influx"](Settings())),
        Case("collectd, 2 values", [packed(collectd(n)) for n in numbers], DECODERS["collectd"](Settings())),
        Case("remote write of 100 series", remote_write(count), DECODERS["remote_write"](Settings())),
        Case("remote write 2.0, 100 series", remote_write_2(count, 100), DECODERS["remote_write"](Settings())),
        Case("remote write 2.0, 2,000 series", remote_write_2(count, 2_000), DECODERS["remote_write"](Settings())),
        Case("otlp of 100 points", otlp(count), DECODERS["otlp"](Settings())),
        Case("vector, a gauge", [packed(vector(n)) for n in numbers], DECODERS["vector"](Settings())),
        Case("vector, native_json", [packed({"metric": vector(n)}) for n in numbers], DECODERS["vector"](Settings())),
        Case("metricbeat, 10 numbers", [packed(metricbeat(n)) for n in hundreds], DECODERS["metricbeat"](Settings())),
        Case("routed", routed(count), DECODERS["routed"](Settings())),
        Case("csv", [line(n) for n in numbers], DECODERS["csv"](Settings())),
    ]


def batches(records: list[bytes]) -> list[RawBatch]:
    found = []
    for first in range(0, len(records), BATCH_RECORDS):
        part = records[first : first + BATCH_RECORDS]
        offsets = np.arange(first + 2, first + 2 + len(part))
        times = np.full(len(part), 1.7e9)
        found.append(RawBatch("bench", 0, offsets, times, list(part), [None] * len(part)))
    return found


def cheapest(work: Callable[[], int], repeat: int) -> float:
    """Microseconds of CPU time a unit of `work`, which returns how many it did."""
    best = np.inf
    for _ in range(repeat):
        started = time.process_time()
        done = work()
        best = min(best, (time.process_time() - started) / done * 1e6)
    return float(best)


def measure(case: Case, repeat: int) -> float:
    polled = batches(case.records)
    known = SeriesIndex()

    def decode() -> int:
        series = SeriesIndex() if case.forgets else known
        decoded = [case.decoder.decode(batch, series) for batch in polled]
        return sum(len(samples) + len(samples.rejects) for samples in decoded)

    return cheapest(decode, repeat)


def parser_alone(records: list[bytes], repeat: int) -> float:
    fields = [("value", float), ("timestamp", float), ("name", str), ("labels", msgspec.Raw)]
    parse = msgspec.json.Decoder(msgspec.defstruct("Sample", fields, gc=False)).decode
    return cheapest(lambda: len([parse(record) for record in records]), repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=json_file.destination)
    args = parser.parse_args()

    figures = {FLOOR: parser_alone([packed(sample(n)) for n in range(args.records)], args.repeat)}
    figures |= {case.name: measure(case, args.repeat) for case in cases(args.records)}
    for name, microseconds in figures.items():
        print(f"{name:34} {microseconds:7.2f} us a sample {microseconds / figures[FLOOR]:6.2f} times the parser")
    json_file.write(args.json, {"microseconds_a_sample": figures})


if __name__ == "__main__":
    main()
