"""pytest: a real Kafka for `integration` tests.

`kafka` is one broker for the whole run and all workers of pytest-xdist, started when the first test asks for it;
`DETECTOR_TEST_BOOTSTRAP=host:port` replaces it by an existing one. `make_cluster` starts clusters for one test,
`make_module_cluster` for a module, `own_cluster` is one broker for a module.
Without Java or Maven, the tests fail and say what to install: a test that needs a broker is never skipped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

_FOLDER_VARIABLE = "DETECTOR_TEST_KAFKA_FOLDER"
_BOOTSTRAP_VARIABLE = "DETECTOR_TEST_BOOTSTRAP"
_FIXTURES = {"kafka", "make_cluster", "make_module_cluster", "own_cluster"}


class _Run:
    """The first process of the run: it owns the folder of logs and, by a lock, the life of the shared broker."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="detector-kafka-"))
        self._owner_lock: IO[str] = (self.folder / "owner.lock").open("w")
        self._failed = False
        fcntl.flock(self._owner_lock, fcntl.LOCK_EX)
        os.environ[_FOLDER_VARIABLE] = str(self.folder)  # workers inherit it

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._failed = session.testsfailed > 0

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._failed and any(self.folder.rglob("*.log")):
            terminalreporter.write_line(f"Kafka's logs: {self.folder}")

    def pytest_unconfigure(self) -> None:
        os.environ.pop(_FOLDER_VARIABLE, None)
        self._owner_lock.close()
        self._wait_for_keeper(timeout_seconds=20)
        if not (self._failed and any(self.folder.rglob("*.log"))):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_for_keeper(self, timeout_seconds: float) -> None:
        if not (self.folder / "keeper.lock").exists():
            return
        deadline = time.monotonic() + timeout_seconds
        with (self.folder / "keeper.lock").open() as lock:
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(0.02)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Run(), "detector-kafka-run")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    if call.excinfo is not None and _FIXTURES & set(getattr(item, "fixturenames", ())):
        item.add_report_section(call.when, "Kafka's logs", os.environ.get(_FOLDER_VARIABLE, "of the existing broker"))


@pytest.fixture(scope="session")
def kafka() -> Any:
    """`Endpoint` of the run's broker."""
    from tests.kafka.endpoint import Endpoint
    from tests.kafka.keeper import shared_bootstrap

    existing = os.environ.get(_BOOTSTRAP_VARIABLE)
    return Endpoint(existing or _or_fail(lambda: shared_bootstrap(Path(os.environ[_FOLDER_VARIABLE]))))


@pytest.fixture
def make_cluster() -> Iterator[Callable[..., Any]]:
    """`make_cluster(brokers=3, properties={...})` gives a started `Cluster` that ends with the test."""
    with _clusters() as make:
        yield make


@pytest.fixture(scope="module")
def make_module_cluster() -> Iterator[Callable[..., Any]]:
    """As `make_cluster`, but the cluster ends with the module: what its tests name must not meet."""
    with _clusters() as make:
        yield make


@pytest.fixture(scope="module")
def _module_cluster(make_module_cluster: Callable[..., Any]) -> Any:
    return make_module_cluster(links=1)


@pytest.fixture
def own_cluster(_module_cluster: Any) -> Iterator[Any]:
    """A `Cluster` of one broker that the tests of a module may kill and freeze; it runs when a test begins.

    It has one link, for a proxy of the test's own.
    """
    yield _module_cluster
    (broker,) = _module_cluster.brokers
    if broker.alive:
        broker.resume()
    else:
        broker.restart()
    _module_cluster.wait_joined()


@contextmanager
def _clusters() -> Iterator[Callable[..., Any]]:
    from tests.kafka.archive import java_options
    from tests.kafka.cluster import Cluster
    from tests.kafka.memory import data_folder

    with ExitStack() as stack:

        def make(**options: Any) -> Cluster:
            folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=os.environ[_FOLDER_VARIABLE]))
            data = stack.enter_context(data_folder(folder))
            return _or_fail(
                lambda: stack.enter_context(Cluster(folder, data=data, java_options=java_options(), **options))
            )

        yield make


def _or_fail(start: Callable[[], Any]) -> Any:
    from tests.kafka.distribution import KafkaUnavailable

    try:
        return start()
    except KafkaUnavailable as exc:
        missing = str(exc)
    pytest.fail(missing, pytrace=False)
