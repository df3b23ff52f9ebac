"""G17: a wrong value of any key, or of all keys at once, is reported before the worker connects to anything."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import annotated_types
import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from detector.config import Config, parse
from detector.config.load import keys
from detector.errors import ConfigError


def field_of(key: str) -> FieldInfo:
    model: type[BaseModel] = Config
    *sections, last = key.split(".")
    for part in sections:
        model = named(model, part).annotation  # type: ignore[assignment]
    return named(model, last)


def named(model: type[BaseModel], name: str) -> FieldInfo:
    return next(field for inner, field in model.model_fields.items() if name == (field.alias or inner))


def beyond(field: FieldInfo) -> list[float]:
    """Numbers just outside the field's bounds."""
    found: list[Any] = []
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=least):
                found.append(least - 1)  # type: ignore[operator]
            case annotated_types.Gt(gt=least):
                found.append(least)
            case annotated_types.Le(le=most):
                found.append(most + 1)  # type: ignore[operator]
            case annotated_types.Lt(lt=most):
                found.append(most)
    return found + ([float("nan")] if found else [])


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        place = tree
        for part in sections:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


def findings(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(yaml.safe_dump(nested(values)), "test.yaml")
    return raised.value.findings


OUT_OF_RANGE = [(key, value) for key in keys() for value in beyond(field_of(key))]


@pytest.mark.parametrize(("key", "value"), OUT_OF_RANGE)
def test_g17_number_out_of_range_is_reported(key: str, value: float) -> None:
    assert any(finding.startswith(f"{key}: ") for finding in findings({key: value}))


@pytest.mark.parametrize("key", [key for key in keys() if field_of(key).annotation is not bool])
def test_g17_true_is_rejected_as_number_and_as_string(key: str) -> None:
    """In Python, True is an int."""
    for value in (True, [True]):
        (finding,) = findings({key: value})
        assert finding.startswith(key)


NUMBERS = [key for key in keys() if field_of(key).annotation in (int, float)]


@pytest.mark.parametrize("key", NUMBERS)
def test_g17_error_for_a_boolean_asks_for_a_number(key: str) -> None:
    for value in (True, False):
        (finding,) = findings({key: value})
        assert finding.startswith(f"{key}: must be a number (got ")


def test_integer_is_accepted_for_a_float() -> None:
    assert parse("checkpoint: {interval_seconds: 5}", "test.yaml").checkpoint.interval_seconds == 5.0


@pytest.mark.parametrize("key", keys())
def test_g17_nul_in_a_string_is_reported(key: str) -> None:
    """A path or a host name with a NUL would fail later, in the middle of the program."""
    for value in ("a\0b:9", ["a\0b:9"]):
        (finding,) = findings({key: value})
        assert finding.startswith(f"{key}: contains a NUL character")


def test_most_numbers_have_bounds() -> None:
    assert len({key for key, _ in OUT_OF_RANGE}) > 20


@pytest.mark.parametrize("key", keys())
def test_g17_misspelt_key_is_reported_with_the_right_name(key: str) -> None:
    (finding,) = findings({f"{key}_": 1})
    assert finding.startswith(f"{key}_: unknown key, did you mean ")


def test_g17_all_keys_wrong_at_once_are_all_reported() -> None:
    found = findings({key: {"unknown": 1} for key in keys()})
    assert [key for key in keys() if not any(finding.startswith(key) for finding in found)] == []


def test_g17_worker_with_a_wrong_configuration_exits_before_it_connects(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        address = f"127.0.0.1:{broker.getsockname()[1]}"
        path = tmp_path / "config.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "kafka": {"bootstrap_servers": [address]},
                    "scoring": {"band_coverage": 2},
                    "checkpoint": {"interval_seconds": 0},
                }
            )
        )
        ran = subprocess.run(
            [sys.executable, "-m", "detector", "run", "-c", str(path)], capture_output=True, text=True, timeout=300
        )
        assert ran.returncode == 2
        assert "scoring.band_coverage" in ran.stderr
        assert "checkpoint.interval_seconds" in ran.stderr
        broker.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            broker.accept()
