"""The package as syntax trees: what the structure tests look at. Nothing of the package is imported here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "detector"


@dataclass(frozen=True)
class Import:
    """One imported module; `from a import b` gives a, and a.b as well where that is one of our modules."""

    target: str
    line: int
    executed: bool  # when the importing module is imported: neither inside a function nor for type checkers only

    @property
    def root(self) -> str:
        """The distribution-level name: `kafka` of `kafka.errors`."""
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """A file of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The module or package below `detector` that this file belongs to; empty for `detector` itself."""
        return part_of(self.name)

    def imports(self, known: frozenset[str]) -> list[Import]:
        """Every import in the file, wherever it stands."""
        return list(_imports(self.tree, known, executed=True))

    def where(self, line: int) -> str:
        """`path:line`, relative to the repository."""
        return f"{self.path.relative_to(ROOT)}:{line}"


def part_of(name: str) -> str:
    """`sources` of `detector.sources.kafka`; empty for `detector` itself and for what is not ours."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == PACKAGE else ""


@cache
def modules(package: Path = ROOT / PACKAGE) -> dict[str, Module]:
    """Every module below the folder `package`, by dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, path, text, ast.parse(text, str(path)))
    return found


@cache
def imports_of(name: str) -> tuple[Import, ...]:
    """The imports of one of our modules."""
    return tuple(modules()[name].imports(frozenset(modules())))


def reachable(name: str) -> dict[str, tuple[str, ...]]:
    """Every module, ours or not, that importing `name` imports through ours; each with the way to it."""
    ways: dict[str, tuple[str, ...]] = {}
    waiting: list[tuple[str, tuple[str, ...]]] = [(name, (name,))]
    while waiting:
        module, way = waiting.pop()
        if module in ways:
            continue
        ways[module] = way
        if module in modules():
            # Importing a.b.c runs a and a.b too.
            package = module.rpartition(".")[0]
            targets = [entry.target for entry in imports_of(module) if entry.executed]
            waiting += [(target, (*way, target)) for target in (*targets, package) if target]
    return ways


def _imports(node: ast.AST, known: frozenset[str], *, executed: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(alias.name, child.lineno, executed) for alias in names)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                inner = [f"{module}.{alias.name}" for alias in names]
                targets = [module, *(name for name in inner if name in known)]
                yield from (Import(target, child.lineno, executed) for target in targets)
            case ast.ImportFrom():
                raise AssertionError(f"line {child.lineno}: relative import")
            case ast.If(test=test) if _for_types(test):
                yield from _imports(ast.Module(child.body, []), known, executed=False)
                yield from _imports(ast.Module(child.orelse, []), known, executed=executed)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, known, executed=False)
            case _:
                yield from _imports(child, known, executed=executed)


def _for_types(test: ast.expr) -> bool:
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False
