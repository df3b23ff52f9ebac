"""Nearly valid records: valid JSON with absurd values, valid protobuf with fields of other types.

Bytes changed at random hardly ever pass a parser; these reach the code behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import cramjam
from hypothesis import strategies as st

from tests.decoders.encode import number, part

_VALUE = re.compile(rb'(?<=[:\[,])(?:"[^"]*"|-?[0-9][0-9.eE+-]*|true|false|null)')
ABSURD = [
    *(sign + digits for sign in (b"", b"-") for digits in (b"1" + b"0" * 400, b"9" * 5_000, b"1e999", b"1e-999", b"0")),
    *(b"9223372036854775808", b"18446744073709551616", b"1e308", b"5e-324", b"NaN", b"Infinity", b"-Infinity"),
    *(b"null", b"true", b"{}", b"[]", b"[null]", b'{"":""}', b'""', b'"NaN"', b'"-inf"', b'"1e999"', b'"1_0"'),
    *(b'"' + b"7" * 400 + b'"', b'"' + b"7" * 5_000 + b'"', b'"\\ud800"', b'"\\u0000"', b'"' + b"a" * 20_000 + b'"'),
    b'"9999-12-31T23:59:59.999999+00:00"',
    b'"0001-01-01T00:00:00+23:59"',
]


def json_records(goods: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """A good record with some of its values replaced."""

    def replaced(good: bytes, by: list[tuple[int, bytes]]) -> bytes:
        for place, absurd in by:
            values = list(_VALUE.finditer(good))
            if not values:
                break
            found = values[place % len(values)]
            good = good[: found.start()] + absurd + good[found.end() :]
        return good

    changes = st.lists(st.tuples(st.integers(0, 99), st.sampled_from(ABSURD)), min_size=1, max_size=3)
    return st.builds(replaced, st.sampled_from(goods), changes)


LINE_PROTOCOL = st.lists(
    st.sampled_from([b"a", b"cpu", b"a=b", b"a=1", b",", b",", b" ", b"=", b"\\", b'"', b"\n", b"\r", b"#", b"7i"]),
    min_size=1,
    max_size=9,
).map(lambda tokens: b"".join(tokens) + b" v=1")
"""A line with any punctuation before its last field."""

_NUMBERS = st.integers(1, 11)
_LEAVES = (
    st.builds(lambda field, value: number(field << 3) + number(value), _NUMBERS, st.integers(0, 2**64 - 1))
    | st.builds(lambda field, eight: number(field << 3 | 1) + eight, _NUMBERS, st.binary(min_size=8, max_size=8))
    | st.builds(lambda field, four: number(field << 3 | 5) + four, _NUMBERS, st.binary(min_size=4, max_size=4))
    | st.builds(part, _NUMBERS, st.binary(max_size=12) | st.text(max_size=6).map(str.encode))
)
PROTOBUF = st.lists(
    st.recursive(
        _LEAVES,
        lambda inner: st.builds(part, _NUMBERS, st.lists(inner, max_size=5).map(b"".join)),
        max_leaves=25,
    ),
    max_size=4,
).map(b"".join)
"""A message of any fields, several messages deep."""


def _within(*numbers: int) -> st.SearchStrategy[bytes]:
    """Such a message in the innermost of nested messages."""

    def wrapped(message: bytes) -> bytes:
        for one in reversed(numbers):
            message = part(one, message)
        return message

    return PROTOBUF.map(wrapped)


OTLP = st.builds(
    lambda kind, *points: part(1, part(2, part(2, part(1, b"cpu") + part(kind, part(1, b"".join(points)))))),
    st.sampled_from([5, 7, 9, 10, 11]),
    PROTOBUF,
    _within(7) | _within(7, 2) | _within(9, 2) | _within(6) | _within(7, 2, 5, 1) | _within(7, 2, 6, 1),
)
"""A point of any fields, with attributes and quantiles of any."""


def _with_symbols(message: bytes) -> bytes:
    return b"".join(part(4, text) for text in (b"", b"__name__", b"cpu", b"host", b"\xff")) + message


_REFERENCES = st.lists(st.integers(0, 6), max_size=6).map(lambda found: part(5, part(1, bytes(found)) + part(2, b"")))
SNAPPY = (
    PROTOBUF
    | _within(1)
    | _within(1, 2)
    | _within(1, 1)
    | (_REFERENCES | _within(5) | _within(5, 2) | _within(5, 5)).map(_with_symbols)
).map(lambda message: bytes(cramjam.snappy.compress_raw(message)))
"""A write request of either version, its series, a sample, a label or metadata of any fields."""
