"""Logs: one JSON object per line on stderr, whatever a text contains, and no more lines than a person can read.

structlog's loggers and those of the standard library (such as the Kafka client's) pass the same steps: level, repeat
limit, rendering. JSON is written in ASCII, so no control character, line separator or lone surrogate breaks a line.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from detector.telemetry.plain import plain

REPEATS = 10
REPEAT_SECONDS = 60.0
MAX_EVENTS = 1_000
"""Distinct events that the repeat limit remembers."""
DROPPED = "dropped_repeats"
CHATTY = "kafka"
"""The Kafka client logs debugging detail at INFO, so we show that at debug. At DEBUG it logs passwords: never shown."""
CHATTY_REPEATS = 1
"""In place of `REPEATS`, except at debug: of an outage it writes dozens of lines among which ours would be lost."""

OnLine = Callable[[str, bool], None]
"""(level, whether the line was written)."""


class RepeatLimit(logging.Filter):
    """Lets a few lines of each event through per interval; the next line after that says how many were dropped.

    An event is a logger, a level and a text without its values filled in. Errors are limited, too: a million of them
    say no more than ten and a count.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        on_line: OnLine | None,
        allowed: Mapping[str, int] | None,
        chatty_repeats: int,
    ) -> None:
        """Lines per interval: `allowed` by an event's text, `chatty_repeats` for the Kafka client's, else `REPEATS`."""
        super().__init__()
        self._allowed = allowed or {}
        self._chatty_repeats = chatty_repeats
        self._monotonic = monotonic
        self._on_line = on_line or (lambda level, written: None)
        self._seen: OrderedDict[tuple[str, int, str], list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        event = str(record.msg.get("event", "") if isinstance(record.msg, dict) else record.msg)[:200]
        usual = self._chatty_repeats if record.name.split(".")[0] == CHATTY else REPEATS
        dropped = self._admit((record.name, record.levelno, event), self._allowed.get(event, usual))
        self._on_line(record.levelname.lower(), dropped is not None)
        if dropped:
            setattr(record, DROPPED, dropped)
        return dropped is not None

    def _admit(self, key: tuple[str, int, str], allowed: int) -> int | None:
        """None to drop the line; else how many of its event were dropped since the last one."""
        now = self._monotonic()
        with self._lock:
            entry = self._seen.setdefault(key, [now, 0, 0])
            self._seen.move_to_end(key)
            if len(self._seen) > MAX_EVENTS:
                self._seen.popitem(last=False)
            started, written, dropped = entry
            if now - started >= REPEAT_SECONDS and allowed:
                entry[:] = [now, 1, 0]
                return int(dropped)
            if written < allowed:
                entry[1] += 1
                return 0
            entry[2] += 1
            return None


class _Handler(logging.StreamHandler[TextIO]):
    """Never prints a traceback amid the JSON: reports a line that cannot be rendered, drops one it cannot write."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            return
        lost = {"level": "error", "logger": record.name, "event": "log line lost", "text": record.msg, "error": error}
        try:
            self.stream.write(json.dumps(plain(lost), ensure_ascii=True, allow_nan=False) + self.terminator)
        except OSError:
            return


def configure_logging(
    level: str,
    style: str,
    stream: TextIO,
    monotonic: Callable[[], float],
    on_line: OnLine | None = None,
    allowed: Mapping[str, int] | None = None,
) -> None:
    """Send every log line of the process to `stream` as `style`, json or console. May be called again.

    Each event gets at most `REPEATS` lines a minute, or as many as `allowed` has for its text; one of the Kafka client
    gets `CHATTY_REPEATS`, except at debug.
    """
    common: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, _add_logger]
    handler = _Handler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, _add_time],
            processors=[
                _add_dropped,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render_json if style == "json" else _render_console,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    debug = root.level <= logging.DEBUG
    handler.addFilter(RepeatLimit(monotonic, on_line, allowed, REPEATS if debug else CHATTY_REPEATS))
    logging.getLogger(CHATTY).setLevel(logging.INFO if debug else max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *common,
            _add_time,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


_add_time = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")


def _add_logger(logger: Any, name: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["logger"] = record.name if record else getattr(logger, "name", "detector")
    return event


def _add_dropped(logger: Any, name: str, event: EventDict) -> EventDict:
    dropped = getattr(event.get("_record"), DROPPED, 0)
    if dropped:
        event[DROPPED] = dropped
    return event


def _render_json(logger: Any, name: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in ("time", "level", "logger", "event") if key in event}
    return json.dumps(plain({**first, **event}), ensure_ascii=True, allow_nan=False)


def _render_console(logger: Any, name: str, event: EventDict) -> str:
    """`12:00:00 warning event key=value`; control characters are escaped, tracebacks keep their lines."""
    fields = plain(event)
    assert isinstance(fields, dict)
    trace = str(fields.pop("exception", ""))
    head = f"{str(fields.pop('time', ''))[11:19]} {fields.pop('level', '')!s:<8} {_printable(fields.pop('event', ''))}"
    if fields.get("logger", "").startswith("detector"):
        del fields["logger"]
    rest = "".join(f" {_printable(key)}={_printable(value)}" for key, value in fields.items())
    lines = "".join(f"\n  {_printable(line)}" for line in trace.splitlines())
    return head + rest + lines


def _printable(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        structlog.get_logger("detector").critical("uncaught exception", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        name = args.thread.name if args.thread else "?"
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        structlog.get_logger("detector").critical("uncaught exception", thread=name, exc_info=exc_info)
