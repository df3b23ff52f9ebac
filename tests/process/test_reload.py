"""G17: a reload applies a whole configuration or nothing, with a real daemon that reads a growing file."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from detector.config import Config
from detector.errors import ConfigError, ModelError
from detector.process.reload import Reloads
from tests.integration.daemon import Daemon
from tests.kafka.endpoint import PATIENCE_SECONDS, eventually

FELL_BACK = "no worker can start with the new configuration, keeping the old one"
TRIED_AGAIN = "no worker can start with the old configuration either, trying again"


def lines(daemon: Daemon) -> list[dict[str, Any]]:
    """The complete lines."""
    return [json.loads(line) for line in daemon.log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def events(daemon: Daemon) -> list[str]:
    return [line["event"] for line in lines(daemon)]


def nth_failure(daemon: Daemon, number: int) -> str:
    """The reason of the `number`th failed reload, once it has failed and the worker is ready again."""

    def told() -> list[dict[str, Any]]:
        return [line for line in lines(daemon) if line["event"] == FELL_BACK]

    eventually(lambda: len(told()) == number, f"the {number}th reload fails")
    daemon.wait_until_ready()
    assert told()[-1]["level"] == "error"
    assert daemon.metric("detector_config_last_reload_successful") == 0
    return str(told()[-1]["error"])


def following(path: Path) -> dict[str, Any]:
    """Settings of a daemon that follows a growing file."""
    path.write_text('{"name": "a", "timestamp": 1700000000, "value": 1}\n')
    return {
        "source": {"type": "file", "file": {"paths": [str(path)], "follow": True}},
        "sinks": {"kafka": {"enabled": False}, "stdout": {"enabled": True}},
    }


def test_g17_reload_applies_a_whole_configuration_or_nothing(tmp_path: Path) -> None:
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        daemon.wait_until_ready()
        path = tmp_path / "config.yaml"
        good = path.read_text()
        assert daemon.metric("detector_alert_budget_per_stream_week") == 0.1

        broken = {"scoring": {"alerts_per_stream_week": 3.0, "band_coverage": 2}, "streams": {"max_stream": 1}}
        path.write_text(yaml.safe_dump({**yaml.safe_load(good), **broken}))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "configuration has errors, nothing changes" in events(daemon), "the errors are logged")
        (told,) = [line["error"] for line in lines(daemon) if line["event"].startswith("configuration has errors")]
        assert "scoring.band_coverage" in told
        assert "streams.max_stream: unknown key" in told
        assert daemon.metric("detector_config_last_reload_successful") == 0
        assert daemon.get("/-/ready")[0] == 200
        assert daemon.metric("detector_alert_budget_per_stream_week") == 0.1

        path.write_text(yaml.safe_dump({**yaml.safe_load(good), "scoring": {"alerts_per_stream_week": 3.0}}))
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.metric("detector_alert_budget_per_stream_week") == 3.0, "the new one holds")
        daemon.wait_until_ready()
        assert daemon.metric("detector_config_last_reload_successful") == 1
        assert daemon.metric("detector_config_last_reload_success_timestamp_seconds") == pytest.approx(
            time.time(), abs=300
        )
        assert events(daemon).count("started") == 2
        assert daemon.terminate() == 0


def unable(folder: Path, taken: socket.socket) -> dict[str, dict[str, Any]]:
    """What a message must name -> a valid configuration with which no worker can start."""
    (folder / "weights.safetensors").write_bytes(b"a card is missing")
    port = taken.getsockname()[1]
    return {
        "weights.json": {"model": {"weights": str(folder / "weights.safetensors")}},
        f"cannot listen at 127.0.0.1:{port}": {"telemetry": {"listen": f"127.0.0.1:{port}"}},
        "no broker at 127.0.0.1:9": {
            "source": {"type": "kafka", "kafka": {"topics": ["metrics"]}},
            "kafka": {"bootstrap_servers": ["127.0.0.1:9"], "request_timeout_seconds": 1.0},
        },
    }


def test_g17_old_configuration_stays_in_use_when_no_worker_can_start_with_the_new_one(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon,
        socket.create_server(("127.0.0.1", 0)) as port,
    ):
        daemon.wait_until_ready()
        path = tmp_path / "config.yaml"
        good = path.read_text()
        for count, (told, change) in enumerate(unable(tmp_path, port).items(), 1):
            path.write_text(yaml.safe_dump({**yaml.safe_load(good), **change}))
            daemon.process.send_signal(signal.SIGHUP)
            assert told in nth_failure(daemon, count)

        path.write_text(good)
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: daemon.metric("detector_config_last_reload_successful") == 1, "what works works again")
        assert daemon.terminate() == 0


def without_old_and_new(daemon: Daemon, folder: Path) -> None:
    """A reload after which no worker can start: the new weights are damaged, and the old source is away."""
    daemon.wait_until_ready()
    eventually(lambda: daemon.metric("detector_samples_consumed_total") == 1, "the file is open")
    (folder / "metrics.json").rename(folder / "away.json")
    (folder / "weights.safetensors").write_bytes(b"a card is missing")
    path = folder / "config.yaml"
    path.write_text(
        yaml.safe_dump({**yaml.safe_load(path.read_text()), "model": {"weights": str(folder / "weights.safetensors")}})
    )
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: TRIED_AGAIN in events(daemon), "the old source is missed")
    assert events(daemon).index(FELL_BACK) < events(daemon).index(TRIED_AGAIN)


def test_g17_old_configuration_is_retried_until_its_source_is_back(tmp_path: Path) -> None:
    """A supervisor would start the process with the new file, with which it cannot start."""
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        without_old_and_new(daemon, tmp_path)
        (tmp_path / "away.json").rename(tmp_path / "metrics.json")
        daemon.wait_until_ready()
        assert daemon.metric("detector_config_last_reload_successful") == 0
        assert daemon.terminate() == 0


def test_g12_process_waiting_for_its_old_source_obeys_a_stop(tmp_path: Path) -> None:
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        without_old_and_new(daemon, tmp_path)
        daemon.process.terminate()
        assert daemon.process.wait(PATIENCE_SECONDS) == 0


class Workers:
    """Workers by their listening address: those in `able` get ready; others, and those in `dies`, raise."""

    def __init__(self, able: set[str], dies: set[str]) -> None:
        self.able = able
        self.dies = dies
        self.lived: list[str] = []
        self.reloads = Reloads(Config, lambda: None, now=lambda: 7.0)

    def live(self, config: Config) -> None:
        name = config.telemetry.listen
        self.lived.append(name)
        if name not in self.able:
            raise ModelError(f"{name} cannot begin")
        self.reloads.note_ready(config)
        if name in self.dies:
            raise ModelError(f"{name} died")
        self.reloads.config = self.next.pop(0) if self.next else None

    def follow(self, *names: str) -> None:
        first, *self.next = (Config.model_validate({"telemetry": {"listen": name}}) for name in names)
        self.reloads.follow(first, self.live, lambda: False)


def test_error_of_a_started_worker_ends_the_process_even_after_a_reload() -> None:
    workers = Workers({"a:1", "b:1"}, dies={"b:1"})
    with pytest.raises(ModelError, match="b:1 died"):
        workers.follow("a:1", "b:1")
    assert workers.lived == ["a:1", "b:1"]


class Waiting(Workers):
    """`a:1` starts once and `b:1` never; `then` is called every tenth of a second with the seconds since."""

    def __init__(self, then: Callable[[float], None]) -> None:
        super().__init__({"a:1"}, dies=set())
        self.slept = 0.0
        self.asked = False

        def sleep(seconds: float) -> None:
            self.slept += seconds
            then(self.slept)

        self.reloads = Reloads(Config, lambda: None, now=lambda: 7.0, sleep=sleep)
        self.next = [Config.model_validate({"telemetry": {"listen": "b:1"}})]

    def live(self, config: Config) -> None:
        super().live(config)
        if len(self.lived) == 1:
            self.able.clear()

    def follow(self, *names: str) -> None:
        (first,) = (Config.model_validate({"telemetry": {"listen": name}}) for name in names)
        self.reloads.follow(first, self.live, lambda: self.asked)


def test_old_configuration_is_retried_with_growing_pauses() -> None:
    def then(slept: float) -> None:
        if slept > 60.0:
            workers.able.add("a:1")

    workers = Waiting(then)
    workers.follow("a:1")
    # After 1, 2, 4, 8, 16 and 30 seconds.
    assert workers.lived == ["a:1", "b:1", *6 * ["a:1"], "a:1"]
    assert workers.slept == pytest.approx(61.0)
    assert not workers.reloads.successful


def test_newer_reload_ends_the_pause() -> None:
    def then(slept: float) -> None:
        if slept > 5.0:
            workers.able.add("c:1")
            workers.reloads.config = Config.model_validate({"telemetry": {"listen": "c:1"}})

    workers = Waiting(then)
    workers.follow("a:1")
    assert workers.lived == ["a:1", "b:1", *3 * ["a:1"], "c:1"]
    assert workers.slept == pytest.approx(5.1)
    assert workers.reloads.successful


def test_stop_ends_the_pause() -> None:
    def then(slept: float) -> None:
        workers.asked = slept > 0.45

    workers = Waiting(then)
    workers.follow("a:1")
    assert workers.lived == ["a:1", "b:1", "a:1"]
    assert workers.slept == pytest.approx(0.5)


def test_error_of_the_first_worker_ends_the_process() -> None:
    workers = Workers(set(), dies=set())
    with pytest.raises(ModelError, match="a:1 cannot begin"):
        workers.follow("a:1")


def test_reload_errors_are_reported_until_a_valid_file_is_in_use() -> None:
    """Also when a worker with an earlier configuration gets ready, or one restarts after a suspension."""
    found: list[Config | ConfigError] = [Config(), ConfigError("config.yaml", ["wrong"]), Config()]

    def read() -> Config:
        answer = found.pop(0)
        if isinstance(answer, ConfigError):
            raise answer
        return answer

    with Reloads(read, lambda: None) as reloads:
        os.kill(os.getpid(), signal.SIGHUP)
        eventually(lambda: reloads.config is not None, "the file is read")
        os.kill(os.getpid(), signal.SIGHUP)
        eventually(lambda: not reloads.successful, "it has errors now")
        asked_for_before = reloads.take()
        assert asked_for_before is not None
        for _ in range(2):
            reloads.note_ready(asked_for_before)
            assert not reloads.successful
        os.kill(os.getpid(), signal.SIGHUP)
        eventually(lambda: reloads.config is not None, "the errors are mended")
        mended = reloads.take()
        assert mended is not None
        reloads.note_ready(mended)
        assert reloads.successful


def test_many_sighups_do_not_end_the_process(tmp_path: Path) -> None:
    """SIGHUP kills a process without a handler: also between one worker and the next."""
    with Daemon(tmp_path, following(tmp_path / "metrics.json")) as daemon:
        daemon.wait_until_ready()
        while events(daemon).count("started") < 6:
            assert daemon.process.poll() is None
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)
        daemon.wait_until_ready()
        assert daemon.terminate() == 0


def test_reload_frees_the_memory_of_the_old_worker(tmp_path: Path) -> None:
    """A stream takes some 6 KB; kept at every reload, they would fill the machine's memory."""
    streams = 10_000
    grows = tmp_path / "metrics.json"
    settings = following(grows)
    with grows.open("a") as file:
        file.writelines(f'{{"name": "s{number}", "timestamp": 1700000000, "value": 1}}\n' for number in range(streams))
    with Daemon(tmp_path, settings) as daemon:
        resident = []
        for lives in range(1, 6):
            eventually(lambda lives=lives: events(daemon).count("started") == lives, "the worker starts again")  # type: ignore[misc]
            eventually(lambda: daemon.metric("detector_streams") > streams, "it has its streams")
            resident.append(daemon.metric("process_resident_memory_bytes"))
            daemon.process.send_signal(signal.SIGHUP)
        assert max(resident[1:]) - resident[0] < 2 * 6_000 * streams
