r"""InfluxDB line protocol, one or more lines per record: `name,tag=value field=1,other=2i 1700000000000000000`.

A series is named `name_field` and labelled with the tags. Floats, integers (`i`, `u`) and booleans (0 and 1) are
samples; texts are not. Times are nanoseconds, coarser units are told by magnitude, and a line without a time has its
record's. Follows InfluxDB's line protocol reference: a backslash escapes comma and space in measurements, these and the
equals sign in tags and field keys, quote and backslash in texts, and stands for itself elsewhere, also before another
backslash; a text may hold line breaks.

The format carries no types: see `telegraf.py` for what counts as a counter.

Reasons of a `Reject`:
    tombstone   no value
    empty       white space and comments only
    oversize    larger than MAX_RECORD_BYTES, or more than MOST_SAMPLES samples
    encoding    not UTF-8
    syntax      a line that is not line protocol
    labels      a tag without name or value, labels too long, or too many of all samples together
    value       a field that is neither number, boolean nor text
    no_numbers  only texts
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from detector.decoders.columns import Columns, decode_records
from detector.decoders.identity import Kinds, remember
from detector.decoders.telegraf import PROMETHEUS, prefixed
from detector.errors import DecodeError
from detector.records import RawBatch, SampleBatch
from detector.series import SeriesIndex, SeriesKey

# Possessive: no line, however broken, costs more than one look at each byte.
_KEY = rb"(?:[^\\,= \n]|\\[,= ]?)++"
_VALUE = rb'(?:"(?:[^"\\]|\\.)*+"|[^," \n\r]++)'
_FIELD = re.compile(b"(%s)=(%s)(?:,|$)" % (_KEY, _VALUE), re.DOTALL)
_LINE = re.compile(
    rb"((?:[^\\ \n]|\\ ?)++) ++(%s=%s(?:,%s=%s)*+)(?: ++(-?[0-9]{1,19})?)? *+\r?(?:\n|\Z)"
    % (_KEY, _VALUE, _KEY, _VALUE),
    re.DOTALL,
)
_NOTHING = re.compile(rb"(?:[ \t\r\n]++|#[^\n]*+)*+")
_PART = re.compile(rb",((?:[^\\,]|\\,?)*+)")
_TAG = re.compile(rb"((?:[^\\=]|\\=?)++)=(.++)", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
_BOOLEANS = {
    **dict.fromkeys((b"t", b"T", b"true", b"True", b"TRUE"), 1.0),
    **dict.fromkeys((b"f", b"F", b"false", b"False", b"FALSE"), 0.0),
}


class InfluxDecoder:
    """Decoder of line protocol."""

    def __init__(self, counters: list[str], gauges: list[str]) -> None:
        self._kinds = Kinds(counters, gauges, suffixes=("_total",))
        self._prometheus_kinds = Kinds(counters, gauges)

    def decode(self, batch: RawBatch, series: SeriesIndex) -> SampleBatch:
        def read(columns: Columns, row: int, payload: bytes) -> None:
            for line in _lines(payload):
                try:
                    self._take(columns, row, line, series)
                except DecodeError as exc:
                    raise DecodeError(exc.reason, f"line {_line_number(payload, line.start())}: {exc.detail}") from exc

        return decode_records(batch, "auto", read)

    def _take(self, columns: Columns, row: int, line: re.Match[bytes], series: SeriesIndex) -> None:
        head, fields, stamp = line.groups()
        time = float(stamp) if stamp else float("nan")
        found = _FIELD.findall(fields)
        if len(found) > 1:
            columns.share(head.count(b"="), len(found))
        parts: tuple[str, dict[str, str]] | None = None
        for field, text in found:
            if text[0] == 34:  # a quote
                continue
            value = _number(text)
            tag = series.by_raw.get((head, field))
            if tag is None:
                parts = parts or _parts(head)
                tag = self._new(series, (head, field), *parts)
            columns.rows.append(row)
            columns.tags.append(tag)
            columns.times.append(time)
            columns.values.append(value)

    def _new(self, series: SeriesIndex, spelling: tuple[bytes, bytes], name: str, labels: dict[str, str]) -> int:
        key = SeriesKey.of(prefixed(name, _text(spelling[1])), labels)
        kinds = self._prometheus_kinds if name == PROMETHEUS else self._kinds
        return remember(series, spelling, key, kinds(key))


def _parts(head: bytes) -> tuple[str, dict[str, str]]:
    """(measurement, tags). Raises DecodeError."""
    measurement, *tags = _PART.findall(b"," + head)
    if not measurement:
        raise DecodeError("syntax", f"{head[:60]!r} begins with a comma instead of a measurement")
    labels = {}
    for tag in tags:
        pair = _TAG.fullmatch(tag)
        if pair is None:
            raise DecodeError("labels", f"{tag[:60]!r} is not a tag")
        labels[_text(pair[1])] = _text(pair[2])
    return _text(measurement, _ESCAPED_IN_MEASUREMENT), labels


def _lines(payload: bytes) -> Iterator[re.Match[bytes]]:
    """Each line, with its name and tags, fields and time as groups. Raises DecodeError."""
    at = _NOTHING.match(payload).end()  # type: ignore[union-attr]  # it matches everything
    if at == len(payload):
        raise DecodeError("empty", f"{len(payload)} bytes")
    while at < len(payload):
        line = _LINE.match(payload, at)
        if line is None:
            _text(payload)
            what = f"line {_line_number(payload, at)}: {payload[at : at + 60]!r} is not line protocol"
            raise DecodeError("syntax", what)
        yield line
        at = _NOTHING.match(payload, line.end()).end()  # type: ignore[union-attr]


def _line_number(payload: bytes, at: int) -> int:
    return payload.count(b"\n", 0, at) + 1


def _number(text: bytes) -> float:
    """Raises DecodeError."""
    known = _BOOLEANS.get(text)
    if known is not None:
        return known
    try:
        if b"_" not in text:  # which Python accepts as digit grouping
            return float(int(text[:-1])) if text[-1] in b"iu" else float(text)
    except (ValueError, OverflowError):
        pass
    raise DecodeError("value", f"{text[:60]!r} is not a number")


def _text(raw: bytes, escaped: re.Pattern[str] = _ESCAPED) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("encoding", f"byte {exc.start} is not UTF-8") from exc
    return escaped.sub(r"\1", text) if "\\" in text else text
