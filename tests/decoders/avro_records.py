"""Avro records written by an independent library, and arbitrary schemas and data."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
from hypothesis import strategies as st

SCHEMA_FILE = Path(__file__).with_name("metric.avsc")
METRIC: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
SAMPLE = {"name": "cpu", "labels": {"host": "a"}, "timestamp": 1_700_000_000_000, "value": 1.5}


def datum(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain(schema)), value)
    return out.getvalue()


def framed(data: bytes, number: int = 1) -> bytes:
    return b"\x00" + number.to_bytes(4) + data


def record(schema: Any = METRIC, value: Any = None, number: int = 1) -> bytes:
    return framed(datum(schema, SAMPLE if value is None else value), number)


def plain(schema: Any) -> Any:
    """The schema without logical types, for which the library expects other values."""
    if isinstance(schema, list):
        return [plain(branch) for branch in schema]
    if isinstance(schema, dict):
        return {key: plain(part) for key, part in schema.items() if key not in ("logicalType", "precision", "scale")}
    return schema


def number(value: int) -> bytes:
    """A zigzag varint."""
    value = (value << 1) ^ (value >> 63)
    written = b""
    while value >= 0x80:
        written, value = written + bytes([value & 0x7F | 0x80]), value >> 7
    return written + bytes([value])


def text(value: str) -> bytes:
    return number(len(value.encode())) + value.encode()


HUGE = [2**62, -(2**62), 2**40, -(2**40), 2**31, -(2**31), -(2**63), 2**63 - 1]

GOODS = [record(), record(value={**SAMPLE, "value": None}), record(value={**SAMPLE, "labels": {}})]
NEARLY_RIGHT = st.builds(
    lambda good, at, gone, put: good[: 5 + at % (len(good) - 4)] + put + good[5 + at % (len(good) - 4) + gone :],
    st.sampled_from(GOODS),
    st.integers(0, 99),
    st.integers(0, 3),
    st.sampled_from([number(n) for n in (*HUGE, -1, 0, 1, 63)]) | st.binary(max_size=4),
)
"""A good record, some of whose bytes are others."""


@st.composite
def schemas_and_values(draw: Callable[..., Any], depth: int = 3) -> tuple[Any, Any]:
    """(a type, a value of it); named types have names of their own."""
    counter = draw(st.shared(st.builds(lambda: iter(range(10**6))), key="names"))
    return draw(_typed(counter, depth))


def _name(counter: Any, space: str) -> dict[str, str]:
    return {"name": f"T{next(counter)}", **({"namespace": space} if space else {})}


@st.composite
def _typed(draw: Callable[..., Any], counter: Any, depth: int) -> tuple[Any, Any]:
    leaves = ["null", "boolean", "int", "long", "float", "double", "bytes", "string", "enum", "fixed"]
    kind = draw(st.sampled_from(leaves + ["array", "map", "union", "record"] * (depth > 0)))
    space = draw(st.sampled_from(["", "a", "a.b"]))
    match kind:
        case "null":
            return kind, None
        case "boolean":
            return {"type": kind}, draw(st.booleans())
        case "int":
            return kind, draw(st.integers(-(2**31), 2**31 - 1))
        case "long":
            return kind, draw(st.integers(-(2**63), 2**63 - 1))
        case "float":
            return kind, draw(st.floats(width=32, allow_nan=False))
        case "double":
            return kind, draw(st.floats(allow_nan=False))
        case "bytes":
            return kind, draw(st.binary(max_size=200))
        case "string":
            return kind, draw(st.text(max_size=100))
        case "enum":
            return {"type": "enum", **_name(counter, space), "symbols": ["A", "B", "C"]}, draw(st.sampled_from("ABC"))
        case "fixed":
            size = draw(st.integers(1, 20))
            value = draw(st.binary(min_size=size, max_size=size))
            return {"type": "fixed", **_name(counter, space), "size": size}, value
        case "record":
            parts = draw(st.lists(_typed(counter, depth - 1), max_size=5))
            fields = [{"name": f"f{n}", "type": schema} for n, (schema, _) in enumerate(parts)]
            schema = {"type": "record", **_name(counter, space), "fields": fields}
            return schema, {f"f{n}": value for n, (_, value) in enumerate(parts)}
        case "union":
            schema, value = draw(_typed(counter, depth - 1).filter(lambda one: not isinstance(one[0], list)))
            other = "null" if schema != "null" else "string"
            return draw(st.sampled_from([[schema, other], [other, schema]])), value
    item, value = draw(_typed(counter, depth - 1).filter(lambda one: kind == "map" or not _is_nothing(one[0])))
    count = draw(st.integers(0, 70))
    if kind == "array":
        return {"type": "array", "items": item}, [value] * count
    return {"type": "map", "values": item}, {f"k{n}": value for n in range(count)}


def _is_nothing(schema: Any) -> bool:
    """Its values take no bytes."""
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return schema == "null" or (fields is not None and all(_is_nothing(field["type"]) for field in fields))
