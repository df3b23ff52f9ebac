"""The soak's rig itself: its faults are real, and its comparison finds every kind of difference."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigResource  # type: ignore[attr-defined]  # as in injection.py

from detector.columns import BlockState
from detector.config.webhook import Webhook
from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.webhook_http import WebhookClient
from tests.kafka.endpoint import Endpoint
from tests.sinks.hook import Hook, disordered
from tests.soak.daemons import Process
from tests.soak.faults import BROKER_REST_SECONDS, DECK, MEANING, ONE_AT_A_TIME, Fault, schedule
from tests.soak.injection import Injection
from tests.soak.load import BROKEN, Load, step_records
from tests.soak.machine import FAILING, FULL, SOUND, Machine, build_shim
from tests.soak.oracle import Comparison, Fact, block_differences, judge
from tests.soak.rig import Rig
from tests.soak.run import NORMAL_ENDS

SET, DELETE = AlterConfigOpType.SET, AlterConfigOpType.DELETE
TELL = """
import os, sys, time
print(time.time() - os.stat(sys.argv[1]).st_mtime)
print(time.monotonic())
try:
    with open(sys.argv[1], "wb") as file:
        file.write(bytes(100_000))
        file.flush()
        os.fsync(file.fileno())
except OSError as exc:
    print(exc.strerror)
"""


def test_seed_determines_a_schedule_with_every_fault_and_one_broker_down_at_a_time() -> None:
    faults = schedule(4, 3_600, 4.5, 6, 3)
    assert faults == schedule(4, 3_600, 4.5, 6, 3) != schedule(5, 3_600, 4.5, 6, 3)
    assert {fault.kind for fault in faults} == DECK.keys() == MEANING.keys()
    assert sum(fault.kind == "kill" for fault in faults) >= 300
    brokers = [fault for fault in faults if fault.kind in ONE_AT_A_TIME]
    rests = [after.at - before.at - before.seconds for before, after in pairwise(brokers)]
    assert min(rests) >= BROKER_REST_SECONDS - 0.1


def test_seed_determines_an_input_with_broken_records() -> None:
    values = [value for step in range(20) for _, value in step_records(4, step)]
    assert values == [value for step in range(20) for _, value in step_records(4, step)]
    assert sum(value in BROKEN for value in values) > 10


def test_process_killed_during_an_orderly_stop_may_have_ended_before() -> None:
    process = Process.__new__(Process)  # a process that is no daemon
    process.asked = ""
    process.popen = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.send(signal.SIGTERM, "terminate")
    process.send(signal.SIGKILL, "kill")
    assert {0, process.popen.wait()} <= NORMAL_ENDS[process.asked]


class Refusing:
    """An administration client that fails this often before it succeeds."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.done: list[AlterConfigOpType | None] = []

    def incremental_alter_configs(self, resources: list[ConfigResource], request_timeout: float) -> dict[str, Any]:
        if self.fails:
            self.fails -= 1
            time.sleep(0.3)
            raise KafkaException("not now")
        self.done += [resource.incremental_configs[0].incremental_operation for resource in resources]
        return {}


@pytest.mark.parametrize(
    ("fails", "seconds", "done"),
    [(0, 0.1, [SET, DELETE]), (1, 0.1, [DELETE]), (1, 2.0, [SET, DELETE]), (2, 0.1, [DELETE])],
)
def test_alert_topic_accepts_records_after_the_fault(
    tmp_path: Path, fails: int, seconds: float, done: list[AlterConfigOpType]
) -> None:
    admin = Refusing(fails)
    rig = SimpleNamespace(
        folder=tmp_path, groups=[SimpleNamespace(alerts="alerts")], kafka=SimpleNamespace(admin=admin)
    )
    injection = Injection(cast("Rig", rig))
    injection.start([Fault(0.0, "sink_refuses", 0, seconds)])
    while not injection.done:
        injection.do_due()
        time.sleep(0.01)
    assert admin.done == done


def test_machine_has_its_own_clock_and_disk_faults(tmp_path: Path) -> None:
    machine, file = Machine(build_shim(tmp_path), tmp_path / "control"), tmp_path / "file"

    def tell() -> tuple[int, str]:
        file.touch()
        began = time.monotonic()
        command = [sys.executable, "-c", TELL, str(file)]
        told = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=True).stdout
        ahead, monotonic, *trouble = told.splitlines()
        since = float(monotonic) - began
        assert 0 < since < time.monotonic() - began, "this clock is everybody's"
        return round((float(ahead) - since) / 60), "".join(trouble)

    machine.clock_ahead_seconds, machine.disk = 7_200, FULL
    assert tell() == (120, "No space left on device")
    assert 0 < file.stat().st_size < 100_000
    machine.disk = FAILING
    assert tell()[1] == "Input/output error"
    machine.clock_ahead_seconds, machine.disk = 0, SOUND
    assert tell() == (0, "")


def test_comparison_finds_lost_invented_changed_and_duplicate_records() -> None:
    expected = [Message(b"key", name, ()) for name in (b"1 lost", b"2 same", b"3 twice", b"4 other")]
    values = (b"2 same", b"3 twice", b"3 twice", b"4 bytes", b"5 more")
    published: list[Fact] = [(b"key", value, ()) for value in values]
    found = Comparison()
    assert judge(found, expected, iter(published), lambda fact: (fact[1] or b"")[:1].decode()) == (4, 1)
    assert (found.lost, found.invented, found.other_bytes) == (["1"], ["5"], ["4"])


def test_comparison_finds_records_posted_out_of_order() -> None:
    def record(stream: str, number: int, status: str) -> bytes:
        told = {"id": f"{stream}{number}", "status": status, "fingerprint": stream}
        return json.dumps(told).encode()

    changes = [(number, status) for number in range(2) for status in ("firing", "resolved")]
    due = [record(stream, *change) for change in changes for stream in "ab"]
    assert disordered(due, due) == []
    assert disordered(due, due[:4] + due[2:]) == [], "what comes again is followed by what came after it"
    assert disordered(due, [*due[::2], *due[1::2]]) == [], "streams have no order among each other"
    assert disordered(due, due[2:]) == [], "what is lost is told elsewhere"
    assert disordered(due, [due[2], *due]) == ["a"]


def test_webhook_receiver_fails_hangs_dies_and_comes_back() -> None:
    sent = [b'{"id":"%d"}' % number for number in range(7)]
    with Hook() as hook:
        client = WebhookClient(Webhook(url=hook.url, timeout_seconds=0.5))

        def post(number: int) -> str:
            try:
                client.post(b'{"alerts":[' + sent[number].removesuffix(b"}") + b',"generatorURL":""}]}')
            except DeliveryError as exc:
                return str(exc)
            return "taken"

        assert post(0) == "taken"
        hook.fail()
        assert "answered 503" in post(1)
        assert "answered 503" in post(2)
        hook.hang()
        assert "no answer within 0.5 s" in post(3)
        assert "no answer within 0.5 s" in post(4)
        hook.die()
        assert hook.taken == [sent[0], sent[2], sent[4]], "every other one that it does not acknowledge"
        assert "ConnectionRefusedError" in post(5)
        hook.mend()
        assert post(6) == "taken"
        assert hook.taken[3:] == [sent[6]]


@pytest.mark.parametrize("before", [0, 1])
def test_webhook_receiver_has_accepted_what_it_acknowledges_after_a_hang(before: int) -> None:
    with Hook() as hook:
        client = WebhookClient(Webhook(url=hook.url, timeout_seconds=60.0))
        for _ in range(before):
            client.post(b'{"alerts":[]}')
        hook.hang()
        threading.Timer(0.2, hook.mend).start()
        client.post(b'{"alerts":[{"id":"1","generatorURL":""}]}')
        assert hook.taken == [b'{"id":"1"}']


def test_record_that_was_acknowledged_without_an_offset_counts() -> None:
    load = Load(Endpoint("127.0.0.1:1"), "metrics", seed=1, rate=1.0)
    for offset in (0, None, 2):
        load._delivered(None, SimpleNamespace(partition=lambda: 1, offset=lambda told=offset: told))
    assert load.ends == [0, 3, 0, 0]


def test_comparison_finds_one_changed_bit_of_state() -> None:
    ours = BlockState(0, {"mean": np.zeros((256, 2), dtype=np.float32)}, [None] * 256)
    theirs = BlockState(0, {"mean": np.zeros((256, 2), dtype=np.float32)}, [None] * 256)
    assert not list(block_differences(ours, theirs))
    theirs.columns["mean"][7, 1] = -0.0
    assert list(block_differences(ours, theirs)) == ["column mean differs in 1 rows, from 7"]
