import re
from pathlib import Path

import pytest

from detector.config import Config
from tests.deploy.tools import DEPLOY, check

UNIT = DEPLOY / "systemd" / "detector.service"
PROGRAM = "/opt/detector/bin/detector"
MOST_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here, because systemd-analyze looks for it."""
    text = UNIT.read_text()
    assert text.count(PROGRAM) == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(PROGRAM, "/bin/true"))
    return copy


def test_verify_finds_nothing(unit: Path) -> None:
    assert check("systemd-analyze", "verify", "--man=no", unit) == ""


def test_verify_finds_a_fault(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strickt"))
    with pytest.raises(AssertionError, match="strickt"):
        assert check("systemd-analyze", "verify", "--man=no", unit) == ""


def test_s7_exposure_is_small(unit: Path) -> None:
    report = check("systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSURE * 10:.0f}", unit)
    found = re.search(r"Overall exposure level for detector\.service: ([\d.]+)", report)
    assert found
    assert float(found[1]) <= MOST_EXPOSURE


def test_stop_timeout_exceeds_the_shutdown_timeout() -> None:
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) > Config().checkpoint.shutdown_timeout_seconds


def test_instances_of_the_unit_share_the_state_as_one_user() -> None:
    lines = UNIT.read_text().splitlines()
    assert {"DynamicUser=yes", "User=detector", "StateDirectory=detector"} <= set(lines)


def test_unit_is_restarted_without_limit() -> None:
    """Except for a wrong configuration. Death by SIGHUP, a reload at the moment of an exit, is success to systemd."""
    lines = set(UNIT.read_text().splitlines())
    assert {"StartLimitIntervalSec=0", "Restart=on-failure"} <= lines
    assert {"RestartPreventExitStatus=2", "RestartForceExitStatus=SIGHUP"} <= lines
