"""docs/guarantees.md, the tests and the mutations agree: the tests of each guarantee exist and have its number."""

from __future__ import annotations

import ast
import re

import pytest

from tests.structure.source import ROOT
from tools.mutations import table

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([GS]\d+(?:, [GS]\d+)*) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = [(numbers.split(", "), tests, broken) for numbers, _, tests, broken in ROW.findall(PAGE)]
NUMBERED = re.compile(r"test_((?:[gs]\d+_)+)")


def names_in(file: str) -> set[str]:
    """Names of the test functions of a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def numbered() -> dict[str, set[str]]:
    """Guarantee -> the files with tests of its number."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        file = path.relative_to(ROOT).as_posix()
        for match in filter(None, map(NUMBERED.match, names_in(file))):
            for number in match[1].strip("_").upper().split("_"):
                found.setdefault(number, set()).add(file)
    return found


def test_every_guarantee_has_a_row() -> None:
    listed = {number for numbers, _, _ in ROWS for number in numbers}
    assert listed >= {f"G{number}" for number in range(1, 19)} | {f"S{number}" for number in range(1, 8)}


def test_row_of_a_guarantee_names_exactly_the_files_with_tests_of_its_number() -> None:
    files = numbered()
    wrong = []
    for numbers, tests, _ in ROWS:
        bearing = {file for number in numbers for file in files.get(number, ())}
        named = re.findall(r"`(tests/[\w/.]+)`", tests)
        wrong += [f"{numbers}: {name}" for name in named if not any(file.startswith(name) for file in bearing)]
        wrong += [f"{numbers}: no test" for _ in numbers if not named]
    assert not wrong, "\n".join(wrong)


def test_every_named_file_exists() -> None:
    missing = [name for name in re.findall(r"`((?:tests|tools)/[\w/.]+)`", PAGE) if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("mutation", table(), ids=lambda mutation: f"{mutation.guarantee}-{mutation.broken}")
def test_every_mutation_can_be_made_and_its_test_exists(mutation) -> None:
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1, mutation.old
    file, _, name = mutation.test.partition("::")
    assert not name or name.partition("[")[0] in names_in(file)


def test_every_guarantee_has_a_mutation_or_its_row_says_how_it_was_broken_by_hand() -> None:
    broken = {mutation.guarantee for mutation in table()}
    for numbers, _, how in ROWS:
        assert broken & set(numbers) or len(how) > 10, numbers
    said = [mutation.broken for mutation in table() if mutation.broken not in PAGE]
    assert not said, "docs/guarantees.md tells of every mutation"
