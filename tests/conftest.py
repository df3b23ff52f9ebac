"""Fixtures and settings of all tests."""

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from detector.telemetry import logs

pytest_plugins = ["tests.kafka.plugin", "tests.identities"]

# The duration of an example depends on the machine's load more than on the code.
settings.register_profile("detector", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("detector")


LONGEST = ("test_soak.py", "test_swaps.py", "test_kills.py")
"""Files that begin first: otherwise one process would still run one of them when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take turns between files whose tests wait for brokers and files whose tests compute: processes run side by side,
    and when all wait, or all compute, they finish later.
    """
    waiting = {item.path for item in items if item.get_closest_marker("integration")}
    turn: dict[Path, float] = {}
    for files in (waiting, {item.path for item in items} - waiting):
        turn |= {path: (number + 0.5) / len(files) for number, path in enumerate(sorted(files))}
    turn |= {path: LONGEST.index(path.name) - len(LONGEST) for path in turn if path.name in LONGEST}
    items.sort(key=lambda item: turn[item.path])


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restore the logging of the process after each test: commands send all lines to their own output."""
    root, level, hooks = logging.getLogger(), logging.getLogger().level, (sys.excepthook, threading.excepthook)
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__module__ != logs.__name__]
    root.setLevel(level)
    logging.getLogger(logs.CHATTY).setLevel(logging.NOTSET)
    sys.excepthook, threading.excepthook = hooks


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread, as in the learning process: threads of small networks wait for each other on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
