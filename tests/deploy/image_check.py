"""The image, built and run as in a pod: `make image-check`, with Docker or Podman.

pytest does not collect it: the build downloads torch, 6 GB. Environment variables: `ENGINE`, `IMAGE` (an image that is
already built) and `BUILD` (more arguments of the build).
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.deployed import PARTITIONS, SAMPLES, STREAMS, Deployed
from tests.deploy.tools import DEPLOY, ROOT
from tests.kafka.endpoint import Endpoint, eventually

ENGINE = os.environ.get("ENGINE") or "docker"
GRACE_SECONDS = 60
POD = yaml.safe_load((DEPLOY / "kubernetes" / "statefulset.yaml").read_text())["spec"]["template"]["spec"]


def engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    return subprocess.run([ENGINE, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


def do(*arguments: str) -> str:
    """Run a command that must succeed; returns its output."""
    ran = engine(*arguments)
    assert ran.returncode == 0, f"{ENGINE} {shlex.join(arguments)}:\n{(ran.stdout + ran.stderr)[-3_000:]}"
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    name = os.environ.get("IMAGE") or "detector:check"
    if "IMAGE" not in os.environ:
        extra = shlex.split(os.environ.get("BUILD", ""))
        do("build", "--file", "deploy/docker/Dockerfile", "--tag", name, *extra, ".")
    return name


def restrictions() -> list[str]:
    """The restrictions of the pods in deploy/kubernetes, as options of the engine."""
    (container,) = POD["containers"]
    rights, who = container["securityContext"], POD["securityContext"]
    assert rights == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    memory = container["resources"]["limits"]["memory"].removesuffix("i").lower()
    (size,) = [volume["emptyDir"]["sizeLimit"] for volume in POD["volumes"] if "emptyDir" in volume]
    held = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--memory={memory}"]
    held += [f"--tmpfs=/tmp:size={size.removesuffix('i').lower()}", f"--user={who['runAsUser']}:{who['runAsGroup']}"]
    return held


class Container(Deployed):
    """`detector run` in a container, on this machine's network and with a volume for its state."""

    def __init__(self, image: str, kafka: Endpoint, folder: Path) -> None:
        super().__init__(kafka)
        self.folder = folder
        self.name = f"detector-check-{uuid.uuid4().hex[:8]}"
        mounts = [f"--volume={folder}:/etc/detector:ro", f"--volume={self.name}:/var/lib/detector"]
        self.options = [*restrictions(), "--network=host", *mounts, f"--name={self.name}"]
        self.image = image
        folder.chmod(0o755)
        self.configure()

    def configure(self, **changes: Any) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**self.config, **changes}))

    def start(self) -> None:
        do("run", "--detach", *self.options, self.image)

    def kill(self, name: str) -> None:
        """Send a signal to process 1."""
        do("kill", f"--signal={name}", self.name)

    def stop(self) -> int:
        """Stop it; the exit code, which is 137 after the engine's SIGKILL at the end of the grace period."""
        do("stop", f"--time={GRACE_SECONDS}", self.name)
        return self.exit_code()

    def exit_code(self) -> int:
        return int(do("inspect", "--format", "{{.State.ExitCode}}", self.name))

    def log(self) -> list[dict[str, Any]]:
        """The log lines of all its starts."""
        ran = engine("logs", self.name)
        return [json.loads(line) for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("{")]

    def remove(self) -> None:
        engine("rm", "--force", self.name)
        engine("volume", "rm", self.name)


@pytest.fixture
def container(image: str, kafka: Endpoint, tmp_path: Path) -> Iterator[Container]:
    container = Container(image, kafka, tmp_path)
    yield container
    container.remove()


def test_commands_run_without_network_or_writable_folder(image: str) -> None:
    run = ["run", "--rm", "--network=none", *restrictions(), image]
    assert do(*run, "check-config") == "the defaults: ok"
    found = json.loads(do(*run, "demo", "--duration", "20", "--json").splitlines()[-1])
    assert found["faults"] > 0


def test_worker_keeps_its_state_in_the_volume(container: Container) -> None:
    container.start()
    container.wait_until_ready()
    container.produce()
    container.wait_until_consumed(SAMPLES)
    assert container.stop() == 0
    assert container.log()[-1]["event"] == "stopped"
    do("start", container.name)
    eventually(lambda: container.metric("detector_streams") == PARTITIONS * STREAMS, "it has its state")


def test_worker_continues_after_kill_9(container: Container) -> None:
    container.start()
    container.wait_until_ready()
    container.produce()
    container.wait_until_consumed(SAMPLES)
    container.kill("KILL")
    eventually(lambda: do("inspect", "--format", "{{.State.Running}}", container.name) == "false", "it is killed")
    do("start", container.name)
    container.wait_until_ready()
    container.produce()
    eventually(lambda: container.metric("detector_samples_consumed_total") >= SAMPLES, "it reads on")
    assert container.stop() == 0


def test_reload_applies_a_whole_configuration_or_nothing(container: Container) -> None:
    container.start()
    container.wait_until_ready()
    before = container.reloaded_at()
    container.configure(scoring={"warmup_samples": 70})
    container.kill("HUP")
    eventually(lambda: container.reloaded_at() > before, "a worker is ready with it")
    container.configure(nonsense=True)
    container.kill("HUP")
    eventually(lambda: "configuration has errors, nothing changes" in map(event, container.log()), "errors are told")
    container.produce()
    container.wait_until_consumed(SAMPLES)
    assert container.stop() == 0


def event(line: dict[str, Any]) -> str:
    return str(line["event"])


def test_stop_during_startup_ends_the_container_at_once(container: Container) -> None:
    """The kernel ignores signals for which process 1 has no handler, and torch takes seconds to import."""
    container.start()
    status = Path(f"/proc/{do('inspect', '--format', '{{.State.Pid}}', container.name)}/status")
    eventually(lambda: handles(status.read_text(), signal.SIGTERM), "it has a handler")
    assert container.stop() == 128 + signal.SIGTERM  # 0 from the worker, 137 at the end of the grace period


def handles(status: str, number: signal.Signals) -> bool:
    """Whether a process with this /proc/PID/status has a handler for a signal."""
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_pod_is_ready_in_time_and_keeps_its_state_in_the_topic(container: Container) -> None:
    pods = yaml.safe_load((DEPLOY / "kubernetes" / "config.yaml").read_text())
    topic = container.kafka.create_topic(partitions=PARTITIONS, cleanup_policy="compact")
    container.configure(state={**pods["state"], "kafka": {"topic": topic}})
    container.options = [option for option in container.options if ":/var/lib/detector" not in option]
    container.options.append("--env=DETECTOR_GROUP_INSTANCE_ID=detector-0")
    probe = POD["containers"][0]["startupProbe"]
    begun = time.monotonic()
    container.start()
    container.wait_until_ready()
    assert time.monotonic() - begun < probe["periodSeconds"] * probe["failureThreshold"]
    assert container.ask(POD["containers"][0]["livenessProbe"]["httpGet"]["path"])[0] == 200
    container.produce()
    container.wait_until_consumed(SAMPLES)
    assert container.stop() == 0
