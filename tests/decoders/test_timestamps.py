"""Properties of times."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.decoders.timestamps import PER_SECOND, Unit, parse_time, seconds
from detector.errors import DecodeError


def moment_of(second: int, microsecond: int, zone: timezone) -> datetime:
    return datetime.fromtimestamp(second, zone).replace(microsecond=microsecond)


zones = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-14 * 60, 14 * 60))


@given(st.builds(moment_of, st.integers(-(10**9), 3 * 10**10), st.integers(0, 999_999), zones))
def test_any_rfc_3339_time_is_parsed(moment: datetime) -> None:
    assert parse_time(moment.isoformat()) == moment.timestamp()
    assert parse_time(moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")) == moment.replace(microsecond=0).timestamp()


@given(st.text())
def test_arbitrary_text_raises_only_decode_errors(text: str) -> None:
    for candidate in (text, "2024-01-01T00:00" + text):
        with contextlib.suppress(DecodeError):
            parse_time(candidate)


@pytest.mark.parametrize("text", ["20240101T000000Z", "2024-W01-1T00:00:00", "20240101", "1700000000", "now"])
def test_other_calendars_are_rejected(text: str) -> None:
    with pytest.raises(DecodeError):
        parse_time(text)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(moment=st.floats(2e8, 4e9))
def test_unit_of_present_times_follows_from_the_magnitude(unit: Unit, moment: float) -> None:
    numbers = np.array([moment * PER_SECOND[unit]])
    assert seconds(numbers, "auto")[0] == pytest.approx(moment, abs=1e-6)
    assert seconds(numbers, unit)[0] == pytest.approx(moment, abs=1e-6)
