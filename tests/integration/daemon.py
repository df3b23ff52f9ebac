"""The daemon as an operator runs it: a process with a configuration file and an HTTP port."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.forked import Forked
from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import PATIENCE_SECONDS, eventually
from tests.stopwatch import Stopwatch

ORDERLY_END_SECONDS = 40.0
"""On a machine that is slow; stalls do not count."""


class Daemon:
    """`detector run` with `config`; logs go to `folder`, and standard output unless told otherwise.

    Time limits are generous unless the configuration sets them. Leaving the context kills what still runs. With a
    standard output of its own, the daemon is a new interpreter; otherwise it is forked.
    """

    def __init__(self, folder: Path, config: dict[str, Any], stdout: int | None = None) -> None:
        self.address = f"{HOST}:{free_ports(1)[0]}"
        path = folder / "config.yaml"
        state = {"directory": {"path": str(folder / "state")}}
        telemetry = {**config.get("telemetry", {}), "listen": self.address}
        checkpoint = {"shutdown_timeout_seconds": PATIENCE_SECONDS, **config.get("checkpoint", {})}
        patient = {
            "checkpoint": checkpoint,
            "watchdog": {"stall_seconds": PATIENCE_SECONDS, **config.get("watchdog", {})},
        }
        path.write_text(yaml.safe_dump({"state": state, **config, "telemetry": telemetry, **patient}))
        self.log = folder / "daemon.log"
        self.process = self._start(["run", "-c", str(path)], stdout)

    def _start(self, arguments: list[str], stdout: int | None) -> Forked | subprocess.Popen[bytes]:
        if stdout is None:
            return Forked(arguments, self.log)
        with self.log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "detector", *arguments], stdout=stdout, stderr=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if error is not None:
            print(self.log.read_text()[-5000:])

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page, once the daemon listens; waits long for the answer."""
        found: list[tuple[int, str]] = []

        def answered() -> bool:
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
            found.append(self.ask(path))
            return found[-1][0] != 0

        eventually(answered, f"the daemon answers {path}")
        return found[-1]

    def ask(self, path: str) -> tuple[int, str]:
        """As `get`, with one attempt; status 0 without a complete answer."""
        try:
            try:
                answer = urllib.request.urlopen(f"http://{self.address}{path}", timeout=30)
            except urllib.error.HTTPError as exc:
                answer = exc
            with answer:
                return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
            return self.ask("/-/ready")[0] == 200

        eventually(ready, "the daemon is ready")

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples with this name and these labels, as a scrape sees it."""
        total = 0.0
        lines = [line for line in self.get("/metrics")[1].splitlines(keepends=True) if line.startswith(name)]
        for family in text_string_to_metric_families("".join(lines)):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def wait_until_it_listens(self) -> None:
        """Wait until it answers or has ended: a signal during startup simply kills the process."""
        eventually(lambda: self.process.poll() is not None or self.ask("/-/healthy")[0] != 0, "the daemon listens")

    def terminate(self) -> int:
        """SIGTERM, then the exit status, which must come within ORDERLY_END_SECONDS."""
        status, seconds = self.end()
        assert seconds < ORDERLY_END_SECONDS, self.log.read_text()[-5000:]
        return status

    def end(self) -> tuple[int, float]:
        """SIGTERM; the exit status, and the seconds it took, without stalls of the machine."""
        self.wait_until_it_listens()
        with Stopwatch() as watch:
            self.process.send_signal(signal.SIGTERM)
            return self.process.wait(2 * PATIENCE_SECONDS), watch.seconds
