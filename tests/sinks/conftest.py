"""Logs and counters of sinks that use HTTP."""

from __future__ import annotations

import io
import time

import pytest

from detector.telemetry import configure_logging
from tests.sinks.receivers import Failures


@pytest.fixture
def failures() -> Failures:
    return Failures()


@pytest.fixture
def lines() -> io.StringIO:
    """The log."""
    stream = io.StringIO()
    configure_logging("info", "json", stream, time.monotonic)
    return stream
