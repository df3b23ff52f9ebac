"""Sizes of modules and functions, and calls that execute stored bytes."""

import ast

from tests.structure.source import Module, modules

MODULE_LINES = 300
FUNCTION_LINES = 60

# Each of these runs code that comes with the bytes it reads.
FORBIDDEN_IMPORTS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "torch.load",
    "numpy.load",
    "np.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "yaml.full_load",
    "yaml.full_load_all",
}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader"}


def test_modules_are_short() -> None:
    long = {module.name: len(module.text.splitlines()) for module in modules().values()}
    assert not {name: lines for name, lines in long.items() if lines > MODULE_LINES}


def test_functions_are_short() -> None:
    long = [
        f"{module.where(node.lineno)}: {node.name} has {length} lines"
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_s4_no_call_executes_stored_bytes() -> None:
    found = [f"{module.where(line)}: {what}" for module in modules().values() for line, what in _dangers(module)]
    assert not found, "\n".join(found)


def _dangers(module: Module) -> list[tuple[int, str]]:
    found = []
    safe = SAFE_LOADERS | {
        node.name
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & SAFE_LOADERS
    }
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                found += [(node.lineno, name.name) for name in names if name.name.split(".")[0] in FORBIDDEN_IMPORTS]
            case ast.ImportFrom(module=str(source), names=names):
                called = {f"{source}.{name.name}" for name in names} & (FORBIDDEN_CALLS | {"yaml.load"})
                found += [(node.lineno, name) for name in sorted(called)]
                if source.split(".")[0] in FORBIDDEN_IMPORTS:
                    found.append((node.lineno, source))
            case ast.Call(func=function, keywords=keywords):
                name = ast.unparse(function)
                loader = next((ast.unparse(keyword.value) for keyword in keywords if keyword.arg == "Loader"), "")
                if name in FORBIDDEN_CALLS or (name == "yaml.load" and loader not in safe):
                    found.append((node.lineno, f"{name}(...)"))
    return found
