"""Imports run one way, client libraries are imported in one place, and quick commands do not import torch."""

import re
import subprocess
import sys

import pytest

from tests.structure.source import PACKAGE, ROOT, imports_of, modules, part_of, reachable

# From the bottom up: a part imports what stands above it in this list, never what stands below.
LAYERS = [
    {"errors", "series", "records", "columns"},
    {"config", "protocols", "stats", "progress", "clock"},
    {"http", "kafka"},
    {
        "sources",
        "decoders",
        "streams",
        "models",
        "scoring",
        "alerts",
        "sinks",
        "state",
        "telemetry",
        "synthetic",
    },
    {"pipeline", "process"},
    {"learning"},
    {"worker"},
    {"routing"},
    {"replay", "backtest", "produce", "demo", "train", "testing", "inspect", "admin"},
    {"app"},
    {"cli"},
    {"__main__"},
]
STAGES = LAYERS[3]
LAYER_OF = {part: number for number, layer in enumerate(LAYERS) for part in layer}

# A client library -> the modules that know it: the package and the files that are named for it.
SEAMS = {
    "kafka": re.compile(r"detector\.(kafka\.\w+|sources\.kafka\.\w+|(sinks|state)\.kafka(_\w+)?)"),
    "confluent_kafka": re.compile(r"(?!)"),  # tests and benchmarks only
}

# `import torch` costs more than a second; these answer at once.
WITHOUT_TORCH = ["detector.config", "detector.cli", "detector.cli.commands", "detector.produce", "detector.__main__"]


def test_every_module_has_a_layer() -> None:
    parts = {module.part for module in modules().values()} - {""}
    assert parts <= LAYER_OF.keys(), (
        f"new parts {sorted(parts - LAYER_OF.keys())}: place them in LAYERS, see docs/architecture.md"
    )


def test_imports_run_one_way() -> None:
    wrong = []
    for module in modules().values():
        for entry in imports_of(module.name):
            part = part_of(entry.target)
            if part and part != module.part and not _allowed(module.part, part):
                wrong.append(f"{module.where(entry.line)}: {module.name} imports {entry.target}")
    assert not wrong, "\n".join(wrong)


def _allowed(importing: str, imported: str) -> bool:
    if not importing or imported not in LAYER_OF or importing not in LAYER_OF:
        return False
    if importing in STAGES and imported in STAGES:
        return False
    return LAYER_OF[imported] <= LAYER_OF[importing]


def test_there_are_no_import_cycles() -> None:
    # That `from a import a.b` names the package a, which imports a.b, is no circle: packages gather their modules.
    ours = {
        name: {entry.target for entry in imports_of(name) if entry.executed and entry.target in modules()} - {name}
        for name in modules()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for target in sorted(ours[name]):
            if not name.startswith(f"{target}."):
                visit(target, (*way, name))
        done.add(name)

    for name in ours:
        visit(name, ())


def test_client_libraries_are_imported_only_by_their_modules() -> None:
    wrong = [
        f"{module.where(entry.line)}: only {SEAMS[entry.root].pattern} may import {entry.root}"
        for module in modules().values()
        for entry in imports_of(module.name)
        if entry.root in SEAMS and not SEAMS[entry.root].fullmatch(module.name)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_modules_that_must_start_quickly_do_not_reach_torch(name: str) -> None:
    assert name in modules()
    ways = [way for target, way in reachable(name).items() if target.partition(".")[0] == "torch"]
    assert not ways, "\n".join(" -> ".join(way) for way in ways)


@pytest.mark.parametrize(
    "command", [["--help"], ["check-config", "-c", "config.yaml"], ["produce", "--help"], ["backtest", "--help"]]
)
def test_quick_commands_import_no_torch(command: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["detector", *{command!r}]
from {PACKAGE}.cli import main
try:
    main()
except SystemExit as exc:
    assert not exc.code, exc.code
assert "torch" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
