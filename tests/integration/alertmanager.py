"""A real Alertmanager, and the notifications that it sends."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.kafka.broker import HOST, free_ports
from tests.kafka.endpoint import eventually


class RealAlertmanager:
    """The server as packaged by Debian; it notifies a webhook of every change, alert by alert.

    A test fails where the program is missing: `tests/bootstrap` brings it.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.url = f"http://{HOST}:{port or free_ports(1)[0]}"
        self.notified: list[tuple[str, str]] = []
        """(status, host_name) of all that people were told, in order."""
        self._folder = folder
        self._hook = ThreadingHTTPServer((HOST, 0), self._handler())
        self._thread = threading.Thread(target=self._hook.serve_forever, args=(0.05,))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir()
        at_once = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "24h"}
        hook = {"url": f"http://{HOST}:{self._hook.server_port}/", "send_resolved": True}
        receivers = [{"name": "hook", "webhook_configs": [hook]}]
        config = {"route": {"receiver": "hook", **at_once}, "receivers": receivers}
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        self._thread.start()
        self.start()
        return self

    def start(self) -> None:
        """Start without the alerts of an earlier start."""
        command = ["prometheus-alertmanager", f"--config.file={self._folder}/alertmanager.yml"]
        command += [f"--storage.path={self._folder}/kept", "--cluster.listen-address="]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--web.listen-address={self.url.removeprefix('http://')}"], stdout=log, stderr=log
            )
        eventually(self._is_up, f"Alertmanager is up; its log is {self._folder}/log")

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(300)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(300)
        self._hook.shutdown()
        self._hook.server_close()
        self._thread.join()
        if error is not None:
            print((self._folder / "log").read_text()[-3000:])

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The alerts that it shows as open, by the label `host_name`."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=60) as answer:
            return {alert["labels"]["host_name"]: alert for alert in json.load(answer)}

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            self.alerts()
        except OSError:
            return False
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        notified = self.notified

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                notified.extend((alert["status"], alert["labels"]["host_name"]) for alert in told["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        return Handler
