"""Remote write 1.0: the series of a `WriteRequest`, each with its labels written out.

Field numbers are those of prompb/types.proto. Native histograms and exemplars are ignored.
"""

from __future__ import annotations

from detector.decoders.identity import Kinds, remember
from detector.decoders.protobuf import LENGTH, Fields
from detector.decoders.remote_write_sample import USUAL_SAMPLE, USUAL_SAMPLE_BYTES, utf8
from detector.series import SeriesIndex, SeriesKey

_LABELS, _SAMPLES = 1, 2


def read_series(message: bytes, fields: Fields, series: SeriesIndex, kinds: Kinds) -> tuple[int, list[bytes]]:
    """Tag and samples of a `TimeSeries`. Raises DecodeError, ValueError."""
    # Nearly every series ends with its only sample, always of the same size. What precedes it was mostly seen before.
    labels = message[:-USUAL_SAMPLE_BYTES]
    tag = series.by_raw.get(labels)
    if tag is not None and message.startswith(USUAL_SAMPLE, len(labels)):
        return tag, [message[len(labels) + len(USUAL_SAMPLE) :]]
    return _unusual(message, labels, fields, series, kinds)


def _unusual(
    message: bytes, usual: bytes, fields: Fields, series: SeriesIndex, kinds: Kinds
) -> tuple[int, list[bytes]]:
    """The same for any `TimeSeries`; `usual` are the bytes of its labels if it has the usual form after all."""
    labels: list[bytes] = []
    samples: list[bytes] = []
    others, number = 0, 0
    for number, wire, part in fields(message):
        if wire == LENGTH and number == _LABELS and isinstance(part, bytes):
            labels.append(part)
        elif wire == LENGTH and number == _SAMPLES and isinstance(part, bytes):
            samples.append(part)
        else:
            others += 1
    if not samples:
        return -1, samples
    at_its_end = not others and len(samples) == 1 and number == _SAMPLES
    is_usual = at_its_end and message[len(usual) :] == USUAL_SAMPLE + samples[0]
    spelling = usual if is_usual else tuple(labels)
    tag = series.by_raw.get(spelling)
    if tag is None:
        key = SeriesKey.of("", dict(_label(each, fields) for each in labels))
        tag = remember(series, spelling, key, kinds(key))
    return tag, samples


def _label(message: bytes, fields: Fields) -> tuple[str, str]:
    parts = {number: part for number, wire, part in fields(message) if wire == LENGTH and isinstance(part, bytes)}
    return utf8(parts.get(1, b"")), utf8(parts.get(2, b""))
