"""The README's quick start, command by command, as it is written there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.endpoint import PATIENCE_SECONDS, Endpoint, eventually

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
CAUGHT_AT_LEAST = 8
"""Of ten: when it is run decides at which time of the day the streams begin."""


def commands() -> dict[str, list[str]]:
    """The `detector` lines of the section, by the word that follows."""
    section = (ROOT / "README.md").read_text().partition("## Use it")[2].partition("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    return {words[1]: words for words in split if words and words[0] == "detector"}


def config_for(kafka: Endpoint) -> str:
    """The config.yaml of the repository, with this broker and a port that is free."""
    text = (ROOT / "config.yaml").read_text()
    for old, new in (("localhost:9092", kafka.bootstrap), ("127.0.0.1:9464", "127.0.0.1:0")):
        assert text.count(f'"{old}"') == 1
        text = text.replace(old, new)
    return text


def series_of(labels: dict[str, str]) -> str:
    inner = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels['__name__']}{{{inner}}}"


def test_quick_start_of_the_readme_works_as_written(make_cluster: Any, tmp_path: Path) -> None:
    kafka = make_cluster().endpoint
    written = commands()
    assert list(written) == ["check-config", "admin", "run", "produce"]
    (tmp_path / "config.yaml").write_text(config_for(kafka))
    program = [sys.executable, "-m", "detector"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def do(name: str) -> None:
        ran = subprocess.run(
            [*program, *written[name][1:]], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr

    do("check-config")
    do("admin")
    log = tmp_path / "run.log"
    with log.open("w") as lines:
        worker = subprocess.Popen([*program, *written["run"][1:]], cwd=tmp_path, env=environment, stderr=lines)
    try:
        eventually(lambda: "partitions changed" in log.read_text(), "the worker has partitions", PATIENCE_SECONDS)
        do("produce")
        truth = {series_of(json.loads(line)["labels"]) for line in (tmp_path / "truth.jsonl").read_text().splitlines()}
        assert len(truth) == 10

        def caught() -> set[str]:
            told = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
            return {line["series"] for line in told if line["event"] == "alert"} & truth

        eventually(lambda: len(caught()) >= CAUGHT_AT_LEAST, "the faults are found", PATIENCE_SECONDS)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0
    finally:
        worker.kill()
        worker.wait()
    assert (tmp_path / "state").is_dir()
