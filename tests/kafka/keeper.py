"""Keeps one broker for a whole test run: `python -m tests.kafka.keeper FOLDER`.

It is independent of the test workers and outlives each of them. It ends the broker when `FOLDER/owner.lock` becomes
free, which the system ensures even if the run ends by `kill -9`. It holds `FOLDER/keeper.lock` while it runs.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.kafka.archive import java_options
from tests.kafka.cluster import Cluster
from tests.kafka.distribution import KafkaUnavailable
from tests.kafka.memory import data_folder

_ROOT = Path(__file__).parents[2]
_START_TIMEOUT_SECONDS = 700  # the first run on a machine downloads the jars


def main(folder: Path) -> None:
    with (folder / "keeper.lock").open("w") as own_lock, (folder / "owner.lock").open() as owner_lock:
        fcntl.flock(own_lock, fcntl.LOCK_EX)
        try:
            properties = {"broker.session.timeout.ms": 600_000}
            with (
                data_folder(folder) as data,
                Cluster(folder / "shared", data=data, properties=properties, java_options=java_options()) as cluster,
            ):
                _publish(folder / "bootstrap", cluster.bootstrap)
                fcntl.flock(owner_lock, fcntl.LOCK_EX)
        except KafkaUnavailable as exc:
            _publish(folder / "failed", str(exc))
        except Exception:  # noqa: BLE001 - whatever it is, the waiting tests must hear of it
            _publish(folder / "failed", traceback.format_exc())


def shared_bootstrap(folder: Path) -> str:
    """Address of the run's broker; the first caller of all workers starts it. Raises KafkaUnavailable."""
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "bootstrap").exists() and not (folder / "failed").exists():
            _start_keeper(folder)
    if (folder / "failed").exists():
        raise KafkaUnavailable((folder / "failed").read_text())
    return (folder / "bootstrap").read_text()


def _start_keeper(folder: Path) -> None:
    with (folder / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka.keeper", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=_ROOT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if (folder / "bootstrap").exists() or (folder / "failed").exists():
            break
        if keeper.poll() is not None:
            _publish(folder / "failed", f"the keeper ended:\n{(folder / 'keeper.log').read_text()[-3_000:]}")
            break
        time.sleep(0.05)
    else:
        keeper.kill()
        _publish(folder / "failed", f"no broker within {_START_TIMEOUT_SECONDS} s, see {folder}")
    if keeper.returncode is None:
        keeper.returncode = 0  # left running on purpose: no ResourceWarning


def _publish(path: Path, text: str) -> None:
    """Write so that a reader finds the whole text or no file."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.rename(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
