"""Names in the documentation exist: commands and options, make targets, modules, configuration keys, metrics."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import pytest
import typer

from detector.cli.commands import app
from detector.config.load import keys
from tests.structure.source import ROOT
from tests.structure.test_links import PAGES

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
del TEXTS["CHANGELOG.md"]  # of the past, too
OURS = pytest.mark.parametrize("page", TEXTS)


def options(command: Any, names: tuple[str, ...] = ("detector",)) -> dict[str, set[str]]:
    """`detector state export` -> its options; groups of commands have none."""
    if isinstance(command, typer.core.TyperGroup):
        below = [options(one, (*names, name)) for name, one in command.commands.items()]
        return {" ".join(names): {"--help"}} | {name: found for one in below for name, found in one.items()}
    return {" ".join(names): {"--help"}.union(*(one.opts + one.secondary_opts for one in command.params))}


COMMANDS = options(typer.main.get_command(app))


@OURS
def test_named_options_of_commands_exist(page: str) -> None:
    called = re.findall(
        r"(?:^|[`$ ])(?:python -m )?(detector (?:[a-z][a-z-]* ?){1,2})([^`\n|#]*)", TEXTS[page], re.MULTILINE
    )
    unknown = []
    for words, rest in called:
        first, _, second = words.strip().partition(" ")[2].partition(" ")
        name = f"detector {first} {second}".strip()
        name = name if name in COMMANDS else f"detector {first}"
        if name in COMMANDS:
            unknown += [
                f"{name} {one}" for one in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest) if one not in COMMANDS[name]
            ]
    assert not unknown


def test_every_command_is_documented() -> None:
    assert "--duration" in COMMANDS["detector demo"]
    text = "\n".join(TEXTS.values())
    assert [name for name in COMMANDS if name not in text and name.count(" ") == 1] == []


@OURS
def test_named_make_targets_exist(page: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", TEXTS[page])) <= targets


@OURS
def test_named_modules_exist(page: str) -> None:
    named = set(re.findall(r"python -m ((?:benchmarks|detector)[\w.]*\w)", TEXTS[page]))
    assert [name for name in named if find_spec(name) is None] == []


@OURS
def test_named_configuration_keys_exist(page: str) -> None:
    parts = [key.split(".") for key in keys()]
    known = {".".join(key[:end]) for key in parts for end in range(1, len(key) + 1)}
    sections = "|".join(sorted({key[0] for key in parts}))
    named = set(re.findall(rf"`((?:{sections})\.[a-z_.]*[a-z])[`:]", TEXTS[page]))
    assert {name for name in named if not name.startswith("kafka.topic.name")} <= known


@OURS
def test_named_metrics_exist(page: str) -> None:
    known = set(re.findall(r"`(detector_\w+)`", TEXTS["docs/metrics.md"]))
    named = {name.removesuffix("_bucket") for name in re.findall(r"\bdetector_[a-z_]+[a-z]\b(?!:)", TEXTS[page])}
    assert named <= known
