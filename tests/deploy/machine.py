"""A Debian with systemd as process 1 in a container of systemd-nspawn, to run the unit on.

It shares this machine's network, so it reaches a broker on loopback.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.deploy.tools import ROOT
from tests.kafka.endpoint import eventually

FOLDER = ROOT / "build" / "machine"
SOURCE = "/src"
"""Where the machine has this repository."""
_DEBIAN = "systemd,systemd-sysv,dbus,procps,ca-certificates,python3-venv"
_HOST_FILES = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""How this machine reaches its package index, which the other one is to use as well."""
_WANTED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}


def steps() -> list[str]:
    """The commands of a section of docs/deployment.md, as written there."""
    section = (ROOT / "docs" / "deployment.md").read_text().partition("\n## systemd\n")[2]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1].splitlines()


PACKAGES, PROGRAM, CONFIGURATION = steps()[:2], steps()[2], steps()[3:]
"""Packages are kept from run to run, the program is installed anew, and what comes then asks for systemd."""


class Machine:
    """`with Machine() as machine:` - installed, booted, and powered off afterwards."""

    def __init__(self) -> None:
        missing = [package for command, package in _WANTED.items() if shutil.which(command) is None]
        assert os.geteuid() == 0, "systemd-nspawn needs root"
        assert not missing, f"apt-get install --no-install-recommends {' '.join(missing)}"
        self._container: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not (FOLDER / "etc" / "os-release").exists():
            _bring_debian()
        kept, wanted = FOLDER / "packages", _packages()
        if not kept.exists() or kept.read_text() != wanted:
            shutil.rmtree(FOLDER / "opt" / "detector", ignore_errors=True)
            _check([*_nspawn(), "sh", "-ec", "\n".join([f"cd {SOURCE}", *PACKAGES])])
            kept.write_text(wanted)
        _check([*_nspawn(), "sh", "-ec", f"cd {SOURCE}\n{PROGRAM}"])
        for leftover in ("etc/detector", "etc/systemd/system", "var/lib/private/detector", "var/log/journal"):
            shutil.rmtree(FOLDER / leftover, ignore_errors=True)
        (FOLDER / "var" / "log" / "journal").mkdir(parents=True)
        with (ROOT / "build" / "machine.log").open("wb") as log:
            self._container = subprocess.Popen([*_nspawn(), "--boot"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: self.says("systemctl", "is-system-running") in ("running", "degraded"), "it has booted")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.journal()[-8_000:])
        self.power_off()

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._container is not None and self._container.poll() is None

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine as root."""
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        inside = ["nsenter", "--target", str(self._process_1()), "--all", *environment, *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=1_500)

    def do(self, *command: str) -> str:
        """Run a command that must succeed; returns its output."""
        ran = self.run(*command)
        assert ran.returncode == 0, f"{shlex.join(command)}:\n{ran.stdout}{ran.stderr}"
        return ran.stdout.strip()

    def says(self, *command: str) -> str:
        """The output of a command, even if it fails; empty while the machine is off."""
        with suppress(OSError, IndexError):
            return self.run(*command).stdout.strip()
        return ""

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the machine."""
        file = FOLDER / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def journal(self, unit: str = "detector") -> str:
        """The journal of a unit since boot; also readable when the machine is off."""
        folder = str(FOLDER / "var" / "log" / "journal")
        return _check(["journalctl", "--directory", folder, "--unit", unit, "--output=cat", "--no-pager"])

    def power_off(self) -> None:
        """Power off as an administrator does: units are stopped in order."""
        if self._container is None or not self.is_up:
            return
        try:
            self.do("systemctl", "poweroff")
            self._container.wait(200)
        finally:
            self._container.kill()
            self._container.wait()

    def _process_1(self) -> int:
        assert self._container is not None, "not booted"
        pid = self._container.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _packages() -> str:
    """Everything that decides which packages are installed."""
    pins = re.findall(r"requirements/\S+", "\n".join(PACKAGES))
    return "\n".join([*PACKAGES, *((ROOT / name).read_text() for name in pins)])


def _bring_debian() -> None:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.parent.mkdir(exist_ok=True)
    partial = FOLDER.with_name("machine.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _check(["debootstrap", f"--include={_DEBIAN}", release["VERSION_CODENAME"].strip('"'), str(partial)])
    partial.rename(FOLDER)


def _nspawn() -> list[str]:
    """A container with this root folder, the repository at /src, and this machine's settings of pip."""
    command = ["systemd-nspawn", "--quiet", "--directory", str(FOLDER), "--machine=detector-check", "--console=pipe"]
    command += ["--link-journal=no", f"--bind-ro={ROOT}:{SOURCE}"]
    command += [f"--bind-ro={name}" for name in _HOST_FILES if Path(name).exists()]
    told = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_PROXY")}
    command += [f"--setenv={name}={value}" for name, value in {**told, "TMPDIR": "/var/tmp"}.items()]
    if not Path("/run/systemd/system").exists():  # no systemd-machined here to register with
        command += ["--register=no", "--keep-unit"]
    return ["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", *command]


def _check(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ran.returncode == 0, f"{shlex.join(command)}:\n{(ran.stdout + ran.stderr)[-3_000:]}"
    return ran.stdout
