"""Pitfall 10: after a fork the client's first call hangs."""

from __future__ import annotations

import ast

from tests.structure.source import modules

FORKING = {"multiprocessing"}


def test_pitfall_10_nothing_in_the_package_forks() -> None:
    forks = []
    for name, module in modules().items():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                forks += [f"{name}: {alias.name}" for alias in node.names if alias.name in FORKING]
            elif isinstance(node, ast.ImportFrom) and node.module in FORKING:
                forks.append(f"{name}: {node.module}")
            elif isinstance(node, ast.Attribute) and node.attr in ("fork", "forkpty"):
                forks.append(f"{name}:{node.lineno}: {node.attr}")
    assert forks == []
