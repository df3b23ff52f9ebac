"""The daemon as an operator runs it: a process with a configuration file and an HTTP port."""

from __future__ import annotations

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

from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import eventually


class Daemon:
    """`detector run` with `config`; logs go to `folder`, and standard output unless told otherwise.

    Leaving the context kills what still runs.
    """

    def __init__(self, folder: Path, config: dict[str, Any], stdout: int | None = None) -> None:
        self.address = f"{HOST}:{free_ports(1)[0]}"
        path = folder / "config.yaml"
        state = {"directory": {"path": str(folder / "state")}}
        telemetry = {**config.get("telemetry", {}), "listen": self.address}
        path.write_text(yaml.safe_dump({"state": state, **config, "telemetry": telemetry}))
        self.log = folder / "daemon.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "detector", "run", "-c", str(path)],
                stdout=log if stdout is None else stdout,
                stderr=log,
            )

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
        """Status and body of a page; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
            return self.get("/-/ready")[0] == 200

        eventually(ready, "the daemon is ready", timeout_seconds)

    def metric(self, name: str, **labels: str) -> float:
        """Sum of the samples with this name and these labels, as a scrape sees it."""
        total = 0.0
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def terminate(self, timeout_seconds: float = 40.0) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)
