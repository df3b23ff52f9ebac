"""Registries, schema and the commented config.yaml agree, name for name."""

import ast
import importlib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from detector.config import Config, load, schema
from detector.config.alertmanager import BoardName
from detector.config.decoder import DecoderName
from detector.config.load import keys
from detector.config.sinks import SinkName, Sinks
from tests.structure.source import ROOT, modules
from tests.structure.test_imports import STAGES

FILE = ROOT / "config.yaml"

# Registry -> the names that the schema accepts.
REGISTRIES: dict[str, tuple[str, ...]] = {
    "sources.SOURCES": get_args(schema.SourceName),
    "decoders.DECODERS": get_args(DecoderName),
    "sinks.SINKS": get_args(SinkName),
    "sinks.BOARDS": get_args(BoardName),
    "state.STORES": get_args(schema.StateName),
    "state.READERS": tuple(name for name in get_args(schema.StateName) if name != "none"),
}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_registry_has_the_names_that_the_schema_accepts(registry: str) -> None:
    package, name = registry.split(".")
    held = getattr(importlib.import_module(f"detector.{package}"), name)
    assert sorted(held) == sorted(REGISTRIES[registry])


def test_every_registry_is_compared() -> None:
    found = {
        f"{stage}.{name}" for stage in STAGES & {module.part for module in modules().values()} for name in _dicts(stage)
    }
    assert found == REGISTRIES.keys()


def _dicts(stage: str) -> list[str]:
    """Names of the dicts that a package's __init__ defines in capitals."""
    names = []
    for node in modules()[f"detector.{stage}"].tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict()) if name.isupper():
                names.append(name)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict()) if name.isupper():
                names.append(name)
    return names


def test_every_kind_of_source_and_sink_has_its_section() -> None:
    assert set(schema.Source.model_fields) - {"type"} == set(get_args(schema.SourceName))
    assert set(Sinks.model_fields) == {*get_args(SinkName), *get_args(BoardName)}


def test_config_yaml_holds_every_key_with_its_default() -> None:
    in_file = _leaves(yaml.safe_load(FILE.read_text(encoding="utf-8")), keys())
    in_schema = _leaves(Config().model_dump(mode="json", by_alias=True), keys())
    assert list(in_file) == keys(), "config.yaml has the schema's keys, in the schema's order"
    assert in_file == in_schema
    assert load(FILE) == Config()


def _leaves(section: dict[str, Any], leaves: list[str], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value; a mapping that the schema takes as one value stays one."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict) and dotted not in leaves:
            found |= _leaves(value, leaves, f"{dotted}.")
        else:
            found[dotted] = value
    return found


def test_config_yaml_comments_every_key() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    bare = [
        f"config.yaml:{number + 1}: {lines[number].strip()}"
        for number in _key_lines(FILE)
        if " # " not in lines[number] and not lines[number - 1].lstrip().startswith("# ")
    ]
    assert not bare, "\n".join(bare)


def _key_lines(path: Path) -> list[int]:
    """Line numbers, from 0, of the keys that hold a value."""
    found: list[int] = []

    def walk(node: yaml.Node) -> None:
        assert isinstance(node, yaml.MappingNode)
        for key, value in node.value:
            if isinstance(value, yaml.MappingNode) and value.value:
                walk(value)
            else:
                found.append(key.start_mark.line)

    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    assert node is not None
    walk(node)
    return found
