"""docs/architecture.md agrees with the package: its parts, and the order in which they may be imported."""

from __future__ import annotations

import re

from tests.structure.source import ROOT, modules
from tests.structure.test_imports import LAYERS

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PARTS = {module.part for module in modules().values()} - {"", "__main__"}


def test_table_of_parts_names_each_part_once() -> None:
    table = PAGE.split("## The parts")[1].split("\n\n")[1]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(PARTS)


def test_layers_in_the_document_are_the_enforced_ones() -> None:
    written = PAGE.split("```\nerrors, ")[1].split("```")[0]
    layers = [set(line.split(", ")) for line in f"errors, {written}".strip().splitlines()]
    assert layers == [layer for layer in LAYERS if layer != {"__main__"}]


def test_names_in_the_diagram_exist() -> None:
    diagram = PAGE.split("## The way of an event")[1].split("```")[1]
    missing = [name for name in re.findall(r"\b[\w/]+(?:/|\.py)", diagram) if not (ROOT / "detector" / name).exists()]
    assert not missing
