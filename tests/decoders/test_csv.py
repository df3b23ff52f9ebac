"""Lines of CSV files."""

from __future__ import annotations

import pytest

from detector.decoders import CsvDecoder
from detector.series import SeriesIndex
from tests.decoders.batches import raw, readable


def test_file_is_a_stream() -> None:
    series = SeriesIndex()
    samples = CsvDecoder().decode(
        raw(
            b"\xef\xbb\xbftimestamp,value",
            b"2014-02-14 14:30:00,0.132\r",
            b"1392388500\t,7",
            b"1392388800000,",
            b'"2014-02-14T14:45:00Z" , "-1e3" , ignored',
            b"2014-02-14 14:50:00 UTC,NaN",
            b"2014-02-14 14:55:00,null",
            b'2014-02-14 15:00:00,"N/A"',
            topic="cloud/app",
        ),
        series,
    )
    assert readable(samples, series) == [
        ("cloud/app", 1_392_388_200.0, 0.132, "SCORED", 2),
        ("cloud/app", 1_392_388_500.0, 7.0, "SCORED", 3),
        ("cloud/app", 1_392_388_800.0, None, "GAP", 4),
        ("cloud/app", 1_392_389_100.0, -1_000.0, "SCORED", 5),
        ("cloud/app", 1_392_389_400.0, None, "NOT_FINITE", 6),
        ("cloud/app", 1_392_389_700.0, None, "GAP", 7),
        ("cloud/app", 1_392_390_000.0, None, "GAP", 8),
    ]
    assert not samples.rejects


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"  \t", "empty"),
        (b"2014-02-14 14:30:00|1", "columns"),
        (b"2014-02-14 14:30:00;1.234,5", "value"),
        (b'2014-02-14 14:30:00,"1,234.5"', "value"),
        (b"\xff,1", "encoding"),
        (b",1", "timestamp"),
        (b"soon,1", "timestamp"),
        (b"timestamp,value", "timestamp"),
        (b"2014-02-14 14:30:00,much", "value"),
        (b"2014-02-14 14:30:00,1_0", "value"),
        (b"1," + b"1" * 70_000, "oversize"),
    ],
)
def test_malformed_line_is_rejected_with_its_number(line: bytes | None, reason: str) -> None:
    good = b"2014-02-14 14:30:00,1"
    samples = CsvDecoder().decode(raw(good, line, good, first=7), SeriesIndex())
    assert [(reject.offset, reject.reason) for reject in samples.rejects] == [(8, reason)]
    assert samples.offsets.tolist() == [7, 9]


@pytest.mark.parametrize(
    "header", [b"Time,Reading", b",value", b'"when","web-1"', b"\xef\xbb\xbf_time,_value", b"sep=,"]
)
def test_any_words_are_a_header_only_in_the_first_line(header: bytes) -> None:
    samples = CsvDecoder().decode(raw(header, b"1392388500,7"), SeriesIndex())
    assert (samples.offsets.tolist(), samples.rejects) == ([2], ())
    assert CsvDecoder().decode(raw(header, first=2), SeriesIndex()).rejects


def test_repeated_header_is_skipped() -> None:
    """A followed file goes on counting its lines when another takes its place, and files are joined end to end."""
    decoder, series = CsvDecoder(), SeriesIndex()
    assert not decoder.decode(raw(b"Time,Reading", b"1392388500,7"), series).rejects
    samples = decoder.decode(raw(b"Time,Reading", b"1392388501,7", b"time,reading", first=3), series)
    assert (samples.offsets.tolist(), [one.offset for one in samples.rejects]) == ([4], [5])
    samples = decoder.decode(raw(b"Time,Reading", b"1392388501,7", first=3, topic="another"), series)
    assert (samples.offsets.tolist(), [one.offset for one in samples.rejects]) == ([4], [3])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"id,timestamp,value", "'timestamp' is column 2, but must be the first"),
        (b'"value";"Time"', "'Time' is column 2, but must be the first"),
        (b"timestamp,label,value", "'value' is column 3, but must be the second"),
        (b"time\thost\tcpu\tValue", "'Value' is column 4, but must be the second"),
    ],
)
def test_file_with_a_wrong_header_is_rejected_as_a_whole(header: bytes, told: str) -> None:
    decoder, series = CsvDecoder(), SeriesIndex()
    first, second = decoder.decode(raw(header, b"1392388500,7"), series).rejects
    assert (first.offset, first.reason, second.offset, second.reason) == (1, "columns", 2, "columns")
    assert told in first.detail
    assert len(decoder.decode(raw(b"1392388501,7", first=3), series).rejects) == 1
    assert len(decoder.decode(raw(header, b"1392388501,7", first=4), series).rejects) == 2
    assert decoder.decode(raw(b"timestamp,value", b"1392388500,7"), series).rejects == ()


def test_semicolons_and_tabs_separate_columns_with_decimal_commas() -> None:
    series = SeriesIndex()
    lines = (b"Zeit;Wert", b'2014-02-14 14:30:00;"0,132"', b"1392388500\t7,5\tweb;1,x", b"1392388800;;1")
    assert readable(CsvDecoder().decode(raw(*lines, topic="a"), series), series) == [
        ("a", 1_392_388_200.0, 0.132, "SCORED", 2),
        ("a", 1_392_388_500.0, 7.5, "SCORED", 3),
        ("a", 1_392_388_800.0, None, "GAP", 4),
    ]


def test_utf_16_is_a_named_error() -> None:
    lines = "timestamp,value\n1392388500,7".encode("utf-16").split(b"\n")
    first, *_ = CsvDecoder().decode(raw(*lines), SeriesIndex()).rejects
    assert (first.offset, first.reason, first.detail) == (1, "encoding", "the file is UTF-16; save it as UTF-8")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"1392388500|1", "'1392388500|1' is one column: it contains no comma, semicolon or tab"),
        (b" ", "a blank line"),
        (b"1392388500,12.3 ms", "'12.3 ms' is not a number: it has a unit; export plain numbers (in Grafana without"),
        (b"1392388500,45%", "'45%' is not a number: it has a unit; "),
        (b"1392388500;1,5GiB", "'1.5GiB' is not a number: it has a unit; "),
        (b"1392388500,1_0", "'1_0' is not a number"),
        (b"1392388500,much", "'much' is not a number"),
    ],
)
def test_fault_of_a_line_is_named(line: bytes, told: str) -> None:
    [reject] = CsvDecoder().decode(raw(line), SeriesIndex()).rejects
    assert reject.detail.startswith(told)
    assert ("unit" in reject.detail) == ("unit" in told)
