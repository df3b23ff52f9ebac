import io
import json
import logging
import subprocess
import sys
import warnings
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from detector.alerts import AlertRecord
from detector.records import AlertStatus, rfc3339
from detector.telemetry import Metrics, configure_logging, new_registry
from detector.telemetry.logs import REPEAT_SECONDS, REPEATS
from detector.testing import ListSink
from detector.worker.outlets import ALERT_EVENT, Outlet, Outlets
from tests.telemetry.populate import alert


class Log:
    """Configured logging with what it wrote."""

    def __init__(self, level: str = "info", style: str = "json") -> None:
        self.stream = io.StringIO()
        self.now = 0.0
        self.counted: list[tuple[str, bool]] = []
        configure_logging(level, style, self.stream, lambda: self.now, lambda *line: self.counted.append(line))

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(event=st.text(), fields=st.dictionaries(st.from_regex(r"f_[a-z]{1,8}", fullmatch=True), anything))
def test_s6_log_line_is_one_json_object_for_any_text(event: str, fields: dict[str, Any]) -> None:
    log = Log()
    structlog.get_logger("detector.worker").info(event, **fields)
    (line,) = log.text.split("\n")[:-1]
    # No constant that JSON does not know, and no character that some reader takes for the end of a line.
    found = json.loads(line, parse_constant=pytest.fail)
    assert line.isascii()
    assert line.isprintable()
    assert found["event"] == event
    assert set(fields) <= set(found)
    assert [found["level"], found["logger"]] == ["info", "detector.worker"]


@given(st.text())
def test_text_cannot_forge_console_lines(text: str) -> None:
    log = Log(style="console")
    structlog.get_logger("detector").warning(text, key=text)
    assert log.text.endswith("\n")
    assert log.text[:-1].isprintable()


def test_values_without_a_json_form_are_logged() -> None:
    class Rude:
        def __str__(self) -> str:
            raise ValueError("no")

    log = Log()
    circle: list[Any] = []
    circle.append(circle)
    structlog.get_logger().info("things", rude=Rude(), circle=circle, long="x" * 100_000, huge=10**5_000)
    (line,) = log.lines
    assert line["rude"] == "<Rude: ValueError>"
    assert len(line["long"]) < 20_000
    assert len(line["huge"]) < 20_000


def test_exception_is_a_field_of_the_line() -> None:
    log = Log()
    try:
        raise ValueError("a\nb")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = log.lines
    assert "ValueError: a\nb" in line["exception"]


def test_standard_library_loggers_use_the_same_format() -> None:
    log = Log()
    logging.getLogger("kafka.conn").warning("node %s is %s", 1, "gone\n")
    assert log.lines[0].items() >= {"event": "node 1 is gone\n", "logger": "kafka.conn", "level": "warning"}.items()


def test_s3_kafka_client_never_logs_below_info() -> None:
    log = Log(level="debug")
    logging.getLogger("kafka.admin").debug("password=%s", "canary")
    logging.getLogger("kafka.admin").info("fine")
    structlog.get_logger("detector").debug("ours")
    assert [line["event"] for line in log.lines] == ["fine", "ours"]


def test_kafka_client_logs_its_actions_only_at_debug_level() -> None:
    log = Log(level="info")
    logging.getLogger("kafka.cluster").info("Updated metadata")
    logging.getLogger("kafka.cluster").warning("lost")
    assert [line["event"] for line in log.lines] == ["lost"]


def test_level_filters_lines() -> None:
    log = Log(level="error")
    structlog.get_logger("detector").warning("no")
    logging.getLogger("kafka").warning("no")
    structlog.get_logger("detector").error("yes")
    assert [line["event"] for line in log.lines] == ["yes"]


def test_repeated_lines_are_dropped_and_counted() -> None:
    log = Log()
    logger = structlog.get_logger("detector")
    for number in range(REPEATS + 90):
        logger.warning("broker unreachable", attempt=number)
    logger.warning("something else")
    assert [line["event"] for line in log.lines] == ["broker unreachable"] * REPEATS + ["something else"]
    log.now = REPEAT_SECONDS
    logger.warning("broker unreachable")
    logger.warning("broker unreachable")
    assert log.lines[-2]["dropped_repeats"] == 90
    assert "dropped_repeats" not in log.lines[-1]
    assert log.counted.count(("warning", False)) == 90


@pytest.mark.parametrize(("allowed", "lines"), [(600, 600), (5, 5), (0, 0)])
def test_alert_lines_have_a_limit_of_their_own(allowed: int, lines: int) -> None:
    log, sink = Log(), ListSink()
    configure_logging("info", "json", log.stream, lambda: log.now, None, {ALERT_EVENT: allowed})
    metrics = Metrics(new_registry())
    outlet = Outlet("list", sink, AlertRecord({}, "test"))
    outlets = Outlets([outlet], None, metrics.worker, structlog.get_logger("detector"))
    for _ in range(700):
        outlets.send_alerts((alert(AlertStatus.FIRING),))
    assert len(sink.sent) == 700
    assert [line["event"] for line in log.lines] == ["alert"] * lines
    assert {line["starts_at"] for line in log.lines} <= {rfc3339(alert(AlertStatus.FIRING).starts_at)}
    log.now = REPEAT_SECONDS
    outlets.send_alerts((alert(AlertStatus.FIRING),))
    assert [line["dropped_repeats"] for line in log.lines[lines:]] == ([700 - lines] if allowed else [])


def test_repeats_of_standard_library_lines_are_recognised_by_their_template() -> None:
    log = Log()
    for number in range(1_000):
        logging.getLogger("asyncio").error("connection %d failed", number)
    assert len(log.lines) == REPEATS


@pytest.mark.parametrize(("level", "lines"), [("info", 1), ("debug", REPEATS)])
def test_kafka_client_repeats_itself_only_at_debug_level(level: str, lines: int) -> None:
    log = Log(level=level)
    for number in range(20):
        logging.getLogger("kafka.net.connection").error("connection %d failed", number)
        structlog.get_logger("detector").warning("source failed, trying again", attempt=number)
    told = [line["logger"] for line in log.lines]
    assert (told.count("kafka.net.connection"), told.count("detector")) == (lines, REPEATS)
    log.now = REPEAT_SECONDS
    logging.getLogger("kafka.net.connection").error("connection %d failed", 20)
    assert log.lines[-1]["dropped_repeats"] == 20 - lines


def test_memory_of_the_repeat_limit_is_bounded() -> None:
    log = Log()
    for number in range(3_000):
        structlog.get_logger("detector").info(f"event {number}")
    assert len(log.lines) == 3_000
    (limit,) = logging.getLogger().handlers[0].filters
    assert len(limit._seen) <= 1_000  # type: ignore[union-attr]


def test_line_that_cannot_be_formatted_is_reported_in_one_line() -> None:
    log = Log()
    logging.getLogger("somebody").info("%d", "x")
    assert log.lines[0]["event"] == "log line lost"


def test_python_warnings_are_logged() -> None:
    log = Log()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("careful", stacklevel=1)
    assert "careful" in log.lines[0]["event"]


def test_fatal_error_is_one_line() -> None:
    program = """
import sys, threading, time
from detector.telemetry import configure_logging
configure_logging("info", "json", sys.stderr, time.monotonic)
def fail(): raise RuntimeError("in a thread")
thread = threading.Thread(target=fail, name="t"); thread.start(); thread.join()
raise RuntimeError("in main")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 1
    in_thread, in_main = [json.loads(line) for line in ran.stderr.splitlines()]
    assert in_thread["thread"] == "t"
    assert "in a thread" in in_thread["exception"]
    assert [in_main["level"], in_main["event"]] == ["critical", "uncaught exception"]


def test_closed_standard_error_does_not_stop_the_process() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure_logging("info", "json", Closed(), lambda: 0.0)
    structlog.get_logger("detector").info("nobody reads this")
