"""The jars of the Apache Kafka that tests run: downloaded once by Maven into a cache outside the tree."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POM = Path(__file__).with_name("pom.xml")
_MAVEN_TIMEOUT_SECONDS = 600

INSTALL = (
    "The tests run a real Apache Kafka, which needs Java 17 or newer, and Maven to bring it once.\n"
    "Debian, Ubuntu:  apt-get install openjdk-17-jre-headless maven\n"
    "Or point DETECTOR_TEST_BOOTSTRAP=host:port at a broker that may be written to."
)


class KafkaUnavailable(RuntimeError):
    """Kafka cannot be started here; the message says what to install."""


def java() -> str:
    """The Java launcher: `$JAVA_HOME` if set, else the one on the path."""
    home = os.environ.get("JAVA_HOME")
    candidate = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if candidate is None:
        raise KafkaUnavailable(f"java was not found{f' in JAVA_HOME={home}' if home else ''}.\n{INSTALL}")
    return candidate


def kafka_version() -> str:
    """The version that the pom names."""
    version = ET.parse(POM).getroot().find(".//{*}kafka.version")
    if version is None or not version.text:
        raise KafkaUnavailable(f"{POM} names no kafka.version")
    return version.text


def jars() -> Path:
    """Folder with every jar of the broker. Many processes may ask at once; one of them downloads the jars.

    The folder appears by a rename, so it is complete or absent even after an interrupted run.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "detector"
    folder = cache / f"kafka-{kafka_version()}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            _bring(folder)
    return folder


def _bring(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable(f"mvn was not found, and {folder} does not hold the jars yet.\n{INSTALL}")
    for leftover in folder.parent.glob(f"{folder.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    result = subprocess.run(
        [*command, f"-DoutputDirectory={partial}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MAVEN_TIMEOUT_SECONDS,
    )
    if result.returncode != 0 or not any(partial.glob("kafka_*.jar")):
        raise KafkaUnavailable(f"Maven could not bring Kafka's jars:\n{(result.stdout + result.stderr)[-4_000:]}")
    partial.chmod(0o755)
    partial.rename(folder)


def stored(path: Path, data: bytes) -> None:
    """Write a file of the cache, which other processes find whole or not at all."""
    with tempfile.NamedTemporaryFile(prefix=f"{path.name}.partial-", dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude other processes with the same path."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
