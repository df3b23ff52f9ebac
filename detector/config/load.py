"""Turns a YAML file into a `Config`, or into one error that lists everything wrong with it."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Hashable, Mapping
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from detector.config.schema import Config, KafkaSource
from detector.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
"""Tag of the key `<<`, which merges in the keys of another mapping; the mapping's own keys take precedence."""
_OCTAL = re.compile("[-+]?0[0-7_]+")
_LONGEST_INTEGER = 400
"""In characters; a float has as many at most."""
_LONGEST_SHOWN = 200


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a duplicate key is an error; PyYAML would silently use the last."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """Read as text what is text in YAML 1.2: 1:30, which is 90 in YAML 1.1, and no, which is false there.

        Keys that are true or false still accept the words yes, no, on and off.
        """
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        number_of_base_60 = tag in (f"{_TAG}int", f"{_TAG}float") and ":" in value
        word = tag == f"{_TAG}bool" and value.lower() not in ("true", "false")
        return f"{_TAG}str" if number_of_base_60 or word else tag

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Report a value that only looks valid, such as the 30th of February, as a YAML error with its position."""
        try:
            return super().construct_object(node, deep)
        except ValueError as exc:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value[:_LONGEST_SHOWN]!r}: {exc}", node.start_mark
            ) from exc
        except (AttributeError, IndexError) as exc:  # PyYAML's errors for a text that does not fit its tag
            problem = f"{node.value!r} does not match its tag"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from exc

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Reject 0100, which YAML reads as 64 but its author means as 100, and what Python cannot write in decimal."""
        if len(node.value) > _LONGEST_INTEGER:
            raise ValueError(f"a number of {len(node.value)} digits")
        if _OCTAL.fullmatch(node.value):
            raise ValueError("YAML reads a number that begins with 0 as octal; remove the 0")
        return super().construct_yaml_int(node)


def _mapping_without_duplicates(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == _MERGE:
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a single word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)
_StrictLoader.add_constructor(f"{_TAG}int", _StrictLoader.construct_yaml_int)


INSTANCE_VARIABLE = "DETECTOR_GROUP_INSTANCE_ID"
"""Overrides `source.kafka.group_instance_id`, so that pods with the same configuration can have different names."""


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Configuration from `path`, or all defaults without a path. Raises ConfigError."""
    config = Config() if path is None else _read(path)
    instance = environment.get(INSTANCE_VARIABLE)
    if not instance:
        return config
    kafka = checked(KafkaSource, config.source.kafka.model_dump() | {"group_instance_id": instance}, INSTANCE_VARIABLE)
    return config.model_copy(update={"source": config.source.model_copy(update={"kafka": kafka})})


def _read(path: Path) -> Config:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(str(path), [f"cannot be read: {exc.strerror or exc}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(str(path), [f"is not UTF-8 text (byte {exc.start})"]) from exc
    return parse(text, str(path))


def parse(text: str, where: str) -> Config:
    """Configuration from YAML text; `where` names it in errors. Raises ConfigError with every finding at once.

    >>> parse("scoring: {band_coverage: 0.95}", "example").scoring.band_coverage
    0.95
    """
    return checked(Config, mapping(text, where), where)


def mapping(text: str, where: str) -> dict[Any, Any]:
    """The mapping in a YAML text, empty if the text is; `where` names the text in errors. Raises ConfigError."""
    try:
        raw = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as exc:
        raise ConfigError(where, [f"is not valid YAML: {_one_line(exc)}"]) from exc
    except RecursionError:
        raise ConfigError(where, ["is nested too deeply"]) from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(where, [f"must be a mapping of sections, not a {type(raw).__name__}"])
    return raw


def checked(model: type[Model], given: Mapping[Any, Any], where: str) -> Model:
    """`given` as a `model`; `where` names it in errors. Raises ConfigError with every finding at once."""
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        raise ConfigError(where, [_finding(error, model) for error in exc.errors()]) from exc


def _one_line(exc: yaml.YAMLError) -> str:
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


_ADDRESSES = ("url", "urls", "token_url")
"""Keys whose values errors never quote: people put passwords and tokens into addresses."""


def _finding(error: Any, root: type[BaseModel]) -> str:
    path = [str(part) for part in error["loc"]]
    dotted = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"{dotted}: unknown key{_suggestion(path, root)}"
    if error["type"] == "model_type":
        return f"{dotted}: " + (
            "is empty: leave it out, or give it keys" if error["input"] is None else _keyless(path, root)
        )
    may_be_secret = any(part in _ADDRESSES for part in path)
    if error["type"] == "list_type" and may_be_secret:
        return f"{dotted}: must be a list of addresses"
    if error["type"] == "list_type" and isinstance(error["input"], str):
        listed = json.dumps([part.strip() for part in error["input"].split(",")])
        return f"{dotted}: must be a list, such as {listed}"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "string_type" and isinstance(error["input"], int | float | date):
        message = "must be text: put it in quotes"
    if not dotted:
        return message
    given = error.get("input")
    is_shown = isinstance(given, str | int | float | bool) and not may_be_secret
    shown = f" (got {repr(given)[:_LONGEST_SHOWN]})" if is_shown and repr(given) not in message else ""
    return f"{dotted}: {message[0].lower() + message[1:]}{shown}"


def _suggestion(path: list[str], root: type[BaseModel]) -> str:
    """A hint at the nearest key of the section, else at a key of that name elsewhere, else at all known keys."""
    names = _keys_of(path[:-1], root)
    if not names:
        return ""
    near = difflib.get_close_matches(path[-1], names, n=1)
    if near:
        return f", did you mean {'.'.join([*path[:-1], near[0]])}?"
    elsewhere = [key for key in keys(root) if key.rpartition(".")[2] == path[-1]]
    if elsewhere:
        return f", did you mean {elsewhere[0]}?"
    return f"; known keys here: {', '.join(names)}"


def _keyless(path: list[str], root: type[BaseModel]) -> str:
    names = _keys_of(path, root)
    return "has no keys" + (f"; known keys here: {', '.join(names)}" if names else "")


def _keys_of(path: list[str], root: type[BaseModel]) -> list[str]:
    """The keys of this section; none if it is not a section, or one in a list."""
    model: type[BaseModel] | None = root
    for part in path:
        model = _section(model, part)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _section(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    for field_name, field in (model.model_fields if model else {}).items():
        if name != (field.alias or field_name):
            continue
        optional = isinstance(field.annotation, UnionType)
        for annotation in get_args(field.annotation) if optional else (field.annotation,):
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                return annotation
    return None


def keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted key of the schema, in the order of `config.yaml`."""
    found: list[str] = []
    for field_name, field in model.model_fields.items():
        name = field.alias or field_name
        section = _section(model, name)
        found += keys(section, f"{prefix}{name}.") if section else [f"{prefix}{name}"]
    return found
