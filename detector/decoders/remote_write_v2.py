"""Remote write 2.0: the series of a `Request`, whose labels refer to a shared table of texts.

Field numbers are those of prompb/io/prometheus/write/v2/types.proto. The table differs from request to request, so a
series is identified by the texts that its labels refer to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detector.decoders.identity import MAX_LABEL_CHARACTERS, Kinds, remember
from detector.decoders.protobuf import LENGTH, LONGEST_VARINT, VARINT, Fields
from detector.decoders.remote_write_sample import USUAL_SAMPLE, USUAL_SAMPLE_BYTES, utf8
from detector.errors import DecodeError
from detector.records import Kind
from detector.series import SeriesIndex, SeriesKey

_LABELS, _SAMPLES, _METADATA = 1, 2, 5
_LABELS_KEY = b"\x0a"
_TYPE = 1
_UNSPECIFIED, _COUNTER, _GAUGE, _GAUGE_HISTOGRAM, _INFO, _STATE_SET = 0, 1, 2, 4, 6, 7
_KINDS = {_COUNTER: Kind.COUNTER} | dict.fromkeys((_GAUGE, _GAUGE_HISTOGRAM, _INFO, _STATE_SET), Kind.GAUGE)
"""By `MetricType`; the series of histograms and summaries are told apart by their names."""
_SIZE_BYTES = 4
_MOST_BYTES = 4 * MAX_LABEL_CHARACTERS
"""Limit on the texts of one series, in UTF-8."""
_MOST_REFERENCES = 2 * MAX_LABEL_CHARACTERS
"""Of one series: each label has a name of its own."""
_LEAST_BYTES, _BYTES_PER_BYTE = 1 << 20, 64
"""Limit on the texts of all series of a request, each counted in full: a base, plus so many per byte of series."""
_LARGEST_SHIFT = 63
"""Shift of a varint's tenth and last byte."""

Parts = tuple[bytes, list[bytes], int]
"""(references as consecutive varints, samples, metric type) of a `TimeSeries`."""


def read_request(
    symbols: list[bytes], messages: list[bytes], fields: Fields, series: SeriesIndex, kinds: Kinds
) -> Iterator[tuple[int, list[bytes]]]:
    """Tag and samples of each `TimeSeries` that has samples. Raises DecodeError, ValueError."""
    if not symbols or symbols[0]:
        raise DecodeError("symbols", f"the first of {len(symbols)} symbols is not empty" if symbols else "no symbols")
    # With its size before each text, joined texts cannot be confused.
    sized = [len(symbol).to_bytes(_SIZE_BYTES, "little") + symbol for symbol in symbols]
    text, types = sized.__getitem__, dict[bytes, int | None]()
    texts: dict[int, str] = {}
    longest, spelled = max(map(len, symbols)), 0
    most = _LEAST_BYTES + _BYTES_PER_BYTE * sum(map(len, messages))
    for number, message in enumerate(messages, 1):
        packed, samples, type_ = _usual(message, types, fields) or _parts(message, fields)
        if not samples:
            continue
        try:
            references = _references(packed)
            if longest * len(references) > _MOST_BYTES:
                _check_size(symbols, references)
            spelling = b"".join(map(text, references)), type_
            spelled += len(spelling[0])
            if spelled > most:
                raise DecodeError("labels", f"more than {most} bytes of labels in all series together")
            if len(references) % 2:
                raise DecodeError("symbols", f"an odd number of label references, {len(references)}")
            tag = series.by_raw.get(spelling)
            if tag is None:
                key = _key(symbols, references, texts)
                tag = remember(series, spelling, key, kinds(key, said=_KINDS.get(type_)))
        except IndexError:
            worst = max(references)
            detail = f"series {number} of {len(messages)}: label reference {worst}, of {len(symbols)} symbols"
            raise DecodeError("symbols", detail) from None
        except DecodeError as exc:
            raise DecodeError(exc.reason, f"series {number} of {len(messages)}: {exc.detail}") from exc
        yield tag, samples


def _usual(message: bytes, types: dict[bytes, int | None], fields: Fields) -> Parts | None:
    """Parts of a message with few labels, one present-day sample and then metadata; None for any other.

    `types` caches the metric type by the bytes after the sample, which are the same for all series of a metric.
    """
    if message[:1] != _LABELS_KEY or len(message) < 2 or message[1] >= 0x80:
        return None
    end = 2 + message[1]
    if not message.startswith(USUAL_SAMPLE, end):
        return None
    said = message[end + USUAL_SAMPLE_BYTES :]
    if said not in types:
        types[said] = _type_alone(said, fields)
    type_ = types[said]
    return None if type_ is None else (message[2:end], [message[end + 2 : end + USUAL_SAMPLE_BYTES]], type_)


def _type_alone(said: bytes, fields: Fields) -> int | None:
    """The metric type in fields without labels and samples; None if they hold some, or are not fields."""
    try:
        packed, samples, type_ = _parts(said, fields)
    except ValueError:
        return None
    return None if packed or samples else type_


def _parts(message: bytes, fields: Fields) -> Parts:
    """Raises DecodeError, ValueError."""
    packed, type_ = bytearray(), _UNSPECIFIED
    samples: list[bytes] = []
    for number, wire, part in fields(message):
        if isinstance(part, int):
            if number == _LABELS:  # not packed, which Protocol Buffers readers must accept
                packed += _varint_of(part)
        elif wire != LENGTH:
            continue
        elif number == _LABELS:
            packed += part
        elif number == _SAMPLES:
            samples.append(part)
        elif number == _METADATA:
            for inner, kind, value in fields(part):
                if inner == _TYPE and kind == VARINT and isinstance(value, int):
                    type_ = value
    return bytes(packed), samples, type_


def _references(packed: bytes) -> Sequence[int]:
    """Raises DecodeError, ValueError."""
    if len(packed) <= LONGEST_VARINT * _MOST_REFERENCES:
        references = packed if packed.isascii() else _numbers(packed)
        if len(references) <= _MOST_REFERENCES:
            return references
    raise DecodeError("labels", f"more than {_MOST_REFERENCES} label references")


def _numbers(packed: bytes) -> list[int]:
    """Raises ValueError."""
    found = []
    value = shift = 0
    for byte in packed:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > _LARGEST_SHIFT:
                break
        elif shift:
            found.append(value | byte << shift)
            value = shift = 0
        else:
            found.append(byte)
    if shift:
        raise ValueError("an unterminated varint")
    return found


def _varint_of(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def _check_size(symbols: list[bytes], references: Sequence[int]) -> None:
    """Bound the texts of a series: a reference of a byte or two may mean any length. Raises DecodeError, IndexError."""
    size = sum(len(symbols[each]) for each in references)
    if size > _MOST_BYTES:
        raise DecodeError("labels", f"{size} bytes of labels, more than {MAX_LABEL_CHARACTERS} characters")


def _key(symbols: list[bytes], references: Sequence[int], texts: dict[int, str]) -> SeriesKey:
    """`texts` caches decoded symbols, which series share. Raises DecodeError."""
    for each in references:
        if each not in texts:
            texts[each] = utf8(symbols[each])
    labels = dict(
        zip([texts[each] for each in references[::2]], [texts[each] for each in references[1::2]], strict=True)
    )
    if len(labels) < len(references) // 2:
        raise DecodeError("labels", "two labels with the same name")
    return SeriesKey.of("", labels)
