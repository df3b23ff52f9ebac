"""A class data archive of a broker, with which Java starts one in two thirds of the CPU time.

It is made once, from a broker started for it, and stored beside the jars.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.kafka.cluster import Cluster
from tests.kafka.distribution import jars, java, locked


def java_options() -> list[str]:
    """Options of Java for a cluster that starts from the archive. Raises KafkaUnavailable."""
    launcher = Path(java()).resolve()
    archive = jars().with_name(
        f"{jars().name}-{launcher.stat().st_mtime_ns}.jsa"
    )  # an archive works only with the Java that wrote it
    if not archive.exists():
        with locked(archive.with_suffix(".lock")):
            if not archive.exists():
                _make(archive)
    # Empty if this Java cannot write one.
    return [f"-XX:SharedArchiveFile={archive}"] if archive.stat().st_size else []


def _make(archive: Path) -> None:
    for leftover in archive.parent.glob(f"{archive.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{archive.name}.partial-", dir=archive.parent) as folder:
        partial = Path(folder, "classes")
        with Cluster(Path(folder, "cluster"), java_options=[f"-XX:ArchiveClassesAtExit={partial}"]) as cluster:
            cluster.brokers[0].stop()
        partial.touch()
        os.replace(partial, archive)
