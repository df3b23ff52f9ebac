"""The numbers of an alert's summary can be read at a glance, and what it compares never looks the same."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts.summary import shown, summary
from detector.pipeline.groups import CONTRIBUTORS
from detector.records import Contributor
from detector.series import SeriesKey
from detector.streams.membership import group_key
from tests.alerts.test_record import FIRING

FINITE = st.floats(-1e30, 1e30)
UNITS = {"M": 1e6, "G": 1e9, "T": 1e12}


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((1.76827, 0.524495, 0.417806, 0.631184), "1.77 0.52 0.42 0.63"),
        ((5778.65, 10450.4, 9444.75, 11456.0), "5779 10450 9445 11456"),
        ((6.0, 0.0, -3.70835e-06, 3.70835e-06), "6 0 0 0"),
        ((3_827_100.0, 1_366_590.0, -177_510.0, 2_910_690.0), "3.83M 1.37M -0.18M 2.91M"),
        ((0.0, -9.72066e8, -1.92453e9, -1.95994e7), "0 -0.97G -1.92G -0.02G"),
        (
            (1_763_884_200.0, 1_763_862_600.0, 1_763_862_000.0, 1_763_863_200.0),
            "1763884200 1763862600 1763862000 1763863200",
        ),
        ((1.234e-05, 1.1e-06, 0.0, 2.2e-06), "1.234e-05 1.1e-06 0 2.2e-06"),
        ((5.0, 5.0, 5.0, 5.0), "5 5 5 5"),
        ((1_234_567.0,) * 4, "1.235M 1.235M 1.235M 1.235M"),
        ((0.0, 0.0, 0.0, 0.0), "0 0 0 0"),
    ],
)
def test_numbers_have_the_digits_that_matter(numbers: tuple[float, ...], texts: str) -> None:
    assert shown(*numbers) == texts.split()


@given(FINITE, FINITE)
def test_shown_numbers_are_precise_enough_to_tell_them_apart(one: float, other: float) -> None:
    texts = shown(one, other)
    assert all(len(text) < 40 for text in texts)
    read = [float(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else float(text) for text in texts]
    largest = max(abs(one), abs(other))
    apart = abs(one - other) or 0.1 * largest
    for number, back in zip((one, other), read, strict=True):
        assert abs(number - back) <= max(
            0.006 * apart, 1e-3 * largest if largest >= 1e15 or largest < 1e-4 else 0.0, 1e-12 * largest
        )


def test_terminal_that_shows_a_group_obeys_no_label() -> None:
    host = group_key(SeriesKey.of("disk", {"host": "\x1b[2J"}), ["host"])
    assert host is not None
    assert summary(replace(FIRING, series=host, members=2)).startswith(r'{host="\x1b[2J"}: its 2 streams')


def test_members_of_a_group_are_named_without_what_they_share() -> None:
    member = SeriesKey.of("disk", {"host": "web-1", "device": "sda"})
    host = group_key(member, ["host"])
    assert host is not None
    said = summary(replace(FIRING, series=host, members=38, contributors=(Contributor(member, 2.5),) * CONTRIBUTORS))
    assert said.startswith('{host="web-1"}: its 38 streams together are unlike their past;')
    assert 'most unusual: disk{device="sda"} (2.50), ' in said
    assert said.count("web-1") == 1
