"""The learning process itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from detector.learning import files
from detector.learning.__main__ import Pace
from detector.learning.process import NICEST, ChildProcess
from detector.learning.tuning import CANDIDATE
from detector.learning.versions import tensors_of
from tests.kafka.endpoint import PATIENCE_SECONDS
from tests.learning.fleet import SHAPE, untrained
from tests.learning.test_tuning import windows


def ask(folder: Path, samples: int = 128, cpu_share: float = 1.0) -> None:
    """Request a round over twelve streams, with a network whose scale is too large."""
    bad, seen = untrained(log_scale=2.0), windows(12, samples)
    stretches = files.stretches(folder, 12, samples, "w+")
    stretches[:, :, :-2] = seen.inputs_TSF.numpy().swapaxes(0, 1)
    stretches[:, :, -1] = seen.unit_TS.numpy().T
    moves = (seen.target_TS * seen.unit_TS).numpy().T
    stretches[:, 1:, -2] = moves[:, :-1].cumsum(axis=1)
    files.write_networks(folder, {bad.sha256: tensors_of(bad.backbone)})
    running, names = [bad.sha256] * 12, [bad.sha256]
    request = files.Request(SHAPE.as_dict(), samples, [samples] * 12, running, names, 1, 1e-2, cpu_share)
    files.write_request(folder, request)


def wait(child: ChildProcess) -> int:
    until = time.monotonic() + PATIENCE_SECONDS
    while (status := child.poll()) is None and time.monotonic() < until:
        time.sleep(0.05)
    child.kill()
    assert status is not None
    return status


def test_round_is_answered(tmp_path: Path) -> None:
    ask(tmp_path)
    child = ChildProcess(tmp_path, nice=0)
    assert wait(child) == 0, child.complaint()
    answer = files.read_answer(tmp_path)
    assert answer.chosen == CANDIDATE
    assert answer.loss[CANDIDATE] < answer.loss["running"]
    assert answer.cpu_seconds > 0
    assert files.network_path(tmp_path, CANDIDATE).stat().st_size > 1_000


def test_unreadable_round_ends_the_process_with_a_status_and_a_message(tmp_path: Path) -> None:
    child = ChildProcess(tmp_path, nice=0)
    assert wait(child) != 0
    assert "request.json" in child.complaint()


def test_process_has_the_lowest_priority(tmp_path: Path) -> None:
    ask(tmp_path, cpu_share=0.01)
    child = ChildProcess(tmp_path)
    until = time.monotonic() + PATIENCE_SECONDS
    while os.getpriority(os.PRIO_PROCESS, child.pid) != NICEST and time.monotonic() < until:
        time.sleep(0.05)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == NICEST
    child.kill()
    assert child.poll() is not None
    child.kill()


LEARN = """
import sys
from detector.learning.tuning import tune
from tests.learning.fleet import untrained
from tests.learning.test_tuning import KNOWN, windows
tune(untrained().backbone, windows(), KNOWN, 1e-2, lambda: None)
sys.exit("torch._dynamo" in sys.modules)
"""


def test_round_does_not_load_torchs_compiler() -> None:
    assert subprocess.run([sys.executable, "-c", LEARN], check=False).returncode == 0


WORKER = """
import sys, time
from pathlib import Path
from detector.learning.process import ChildProcess
child = ChildProcess(Path(sys.argv[1]), nice=0)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_process_ends_with_a_killed_worker(tmp_path: Path) -> None:
    folder = tmp_path / "round"
    folder.mkdir()
    ask(folder, cpu_share=0.01)
    with subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        worker.kill()
    until = time.monotonic() + PATIENCE_SECONDS
    while Path(f"/proc/{pid}").exists() and _is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _is_running(pid)
    assert not folder.exists()


def _is_running(pid: int) -> bool:
    """Whether it is neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_process_keeps_to_its_share_of_a_core() -> None:
    began = time.monotonic()
    pace = Pace(0.25, not_counted=time.process_time())
    for _ in range(4):
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        used = pace.used
        pace()
    assert used / (time.monotonic() - began) <= 0.25
