"""Line protocol: escapes, numbers, texts, refusals. What Telegraf's real records mean is in test_wire.py."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders import InfluxDecoder
from detector.records import Kind
from detector.series import SeriesIndex, SeriesKey
from tests.decoders.batches import RECORD_TIME, raw, readable

GOOD = b"cpu,host=a idle=1.5 1700000000000000000"
READ = ('cpu_idle{host="a"}', 1_700_000_000.0, 1.5, "SCORED", 1)
POISON: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"", "empty"),
    (b" \n\t", "empty"),
    (b"# a comment\n", "empty"),
    (b"x" * (1 << 20) + b"x", "oversize"),
    (b"\xff idle=1", "encoding"),
    (b"cpu \xff=1", "encoding"),
    (b"cpu,host=\xff idle=1", "encoding"),
    (b"\xff\xfe", "encoding"),
    (b"cpu", "syntax"),
    (b"cpu idle", "syntax"),
    (b"cpu idle=", "syntax"),
    (b"cpu =1", "syntax"),
    (b"cpu idle=1,", "syntax"),
    (b"cpu idle=1 soon", "syntax"),
    (b"cpu idle=1 1.5", "syntax"),
    (b"cpu idle=1 1700000000 7", "syntax"),
    (b"cpu idle=1 99999999999999999999", "syntax"),
    (b'cpu state="on', "syntax"),
    (b'cpu state="on"x', "syntax"),
    (b'cpu state=on"', "syntax"),
    (GOOD + b"\n}", "syntax"),
    (b'{"name":"cpu"}', "syntax"),
    (b'\x00\x00\x00\x00\x07{"name":"cpu"}', "syntax"),
    (b",host=a idle=1", "syntax"),
    (b", idle=1", "syntax"),
    (b",, idle=1", "syntax"),
    (b"cpu, idle=1", "labels"),
    (b"cpu,,host=a idle=1", "labels"),
    (b"cpu,host idle=1", "labels"),
    (b"cpu,host= idle=1", "labels"),
    (b"cpu,=a idle=1", "labels"),
    (b"cpu,host=" + b"a" * 20_000 + b" idle=1", "labels"),
    (b"cpu idle=high", "value"),
    (b"cpu idle=1_000", "value"),
    (b"cpu idle=1_000i", "value"),
    (b"cpu idle=1.5i", "value"),
    (b"cpu idle=i", "value"),
    (b"cpu idle=" + b"9" * 400 + b"i", "value"),
    (b"cpu idle=0x10", "value"),
    (GOOD + b"\ncpu idle=high", "value"),
    (b'cpu state="on"', "no_numbers"),
]


def decoded(*values: bytes, counters: list[str] | None = None) -> list[Any]:
    series = SeriesIndex()
    samples = InfluxDecoder(counters or [], []).decode(raw(*values), series)
    assert not samples.rejects, samples.rejects
    return [(*line, Kind(kind).name) for line, kind in zip(readable(samples, series), samples.kinds, strict=True)]


@pytest.mark.parametrize(
    "record",
    [
        GOOD,
        GOOD + b"\r\n",
        b"\n# a comment\n\n" + GOOD + b"\n\n",
        b"cpu,host=a  idle=1.5  1700000000000000000 \n",
        b"cpu,host=a idle=1.5 1700000000000",
        b'cpu,host=a state="a, b=c \\" \\\\",idle=1.5,more="two\nlines" 1700000000000000000',
    ],
)
def test_spellings_of_one_line(record: bytes) -> None:
    assert [line[:5] for line in decoded(record)] == [READ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1.0),
        (b"-0", 0.0),
        (b"+1.5e-3", 0.0015),
        (b"7i", 7.0),
        (b"18446744073709551615u", 2.0**64),
        (b"t", 1.0),
        (b"FALSE", 0.0),
    ],
)
def test_values(text: bytes, value: float) -> None:
    assert [line[2] for line in decoded(b"cpu idle=" + text)] == [value]


def test_line_without_a_time_gets_the_record_time() -> None:
    assert [line[1] for line in decoded(b"cpu idle=1\ncpu idle=1 0")] == [RECORD_TIME, 0.0]


def test_kind_follows_from_the_name() -> None:
    lines = decoded(b"net rx=1,drops_total=2,calls_count=3\nprometheus calls_count=1", counters=["net_rx"])
    assert [(line[0], line[-1]) for line in lines] == [
        ("net_rx", "COUNTER"),
        ("net_drops_total", "COUNTER"),
        ("net_calls_count", "GAUGE"),
        ("calls_count", "COUNTER"),
    ]


letters = st.characters(exclude_characters="\n\r\x00", codec="utf-8")
names = (
    st.lists(st.sampled_from(" ,=\\") | letters, min_size=1, max_size=8)
    .map("".join)
    .filter(lambda text: not text.startswith("#") and text.strip(" \t") == text and not text.endswith("\\"))
)


@given(names, st.dictionaries(names, names, max_size=3), names)
def test_any_escaped_name_round_trips(name: str, tags: dict[str, str], field: str) -> None:
    def escaped(text: str, *special: str) -> str:
        for character in special:
            text = text.replace(character, "\\" + character)
        return text

    head = escaped(name, ",", " ") + "".join(
        f",{escaped(tag, ',', '=', ' ')}={escaped(value, ',', '=', ' ')}" for tag, value in tags.items()
    )
    series = SeriesIndex()
    samples = InfluxDecoder([], []).decode(raw(f"{head} {escaped(field, ',', '=', ' ')}=1".encode()), series)
    assert not samples.rejects
    expected = field if name == "prometheus" else f"{name}_{field}"
    assert series.key(int(samples.series[0])) == SeriesKey.of(expected, tags)


def test_backslash_before_an_escape_is_literal() -> None:
    record = rb"a\=b,drives=C:\\,D:,mount=E:\\ (data) used\\=x=1"
    expected = SeriesKey.of(r"a\=b_used\=x", {"drives": r"C:\,D:", "mount": r"E:\ (data)"})
    assert [line[0] for line in decoded(record)] == [str(expected)]


@pytest.mark.parametrize("record", [b"a\\" * 400_000, b"a=" * 400_000, b"a a=1," * 150_000, b'a a="' + b"\\" * 800_000])
def test_time_to_decode_a_line_is_bounded(record: bytes) -> None:
    began = time.process_time()
    samples = InfluxDecoder([], []).decode(raw(record), SeriesIndex())
    assert [reject.reason for reject in samples.rejects] == ["syntax"]
    assert time.process_time() - began < 1.0


def test_g6_undecodable_records_are_rejected_with_a_reason_and_others_are_decoded() -> None:
    series = SeriesIndex()
    values = [value for record, _ in POISON for value in (record, GOOD)]
    samples = InfluxDecoder([], []).decode(raw(*values), series)
    assert [reject.reason for reject in samples.rejects] == [reason for _, reason in POISON]
    assert [reject.value for reject in samples.rejects] == [record for record, _ in POISON]
    assert samples.offsets.tolist() == list(range(2, len(values) + 1, 2))


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (b"cpu idle=high", "line 3: b'high' is not a number"),
        (b"cpu,host idle=1", "line 3: b'host' is not a tag"),
        (b"cpu idle", "line 3: b'cpu idle' is not line protocol"),
    ],
)
def test_faulty_line_is_named(broken: bytes, what: str) -> None:
    samples = InfluxDecoder([], []).decode(raw(GOOD + b'\n# state="on"\n' + broken), SeriesIndex())
    assert [reject.detail for reject in samples.rejects] == [what]
