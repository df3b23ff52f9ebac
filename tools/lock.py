"""Writes requirements/*.txt from pyproject.toml: every package, exact versions, the hashes of all its files.

    make lock                                  keep the versions that still fit
    make lock ARGS=--upgrade                   take the newest that fit
    make lock ARGS="--upgrade-package rich"    take the newest of one

All packages are resolved together, for every Python that pyproject.toml allows, and then dealt out to four files that
no package is in twice:

    runtime.txt    what detector needs, less torch itself and the CUDA libraries
    torch.txt      torch as the package index has it for Linux (the CUDA build), with its CUDA libraries
    build.txt      what installs detector itself
    dev.txt        what tests, checks and benchmarks need on top

Installed with `pip install --require-hashes -r requirements/runtime.txt -r ...`; see tools/venv.py.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
LAYERS = ("runtime", "torch", "build", "dev")
CUDA_BUILD = re.compile(r"torch|triton|(nvidia|cuda)-.*")
ENTRY = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(?:.*\n)(?:[ \t]+.*\n)*", re.MULTILINE)


def resolve(*arguments: str | Path) -> dict[str, str]:
    """Name -> its lines, for what the arguments of `uv pip compile` ask for."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11"]
    command += ["--fork-strategy", "fewest", "--generate-hashes", "--no-header", "--no-emit-index-url"]
    command += ["--no-emit-find-links", *map(str, arguments)]
    text = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = {entry[1]: entry[0] for entry in ENTRY.finditer(text)}
    if "".join(entries.values()) != text:
        raise SystemExit("uv's output has lines that are not pinned packages:\n" + ENTRY.sub("", text))
    return entries


def main() -> None:
    """Resolve, deal out, write."""
    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as everything:
        # What is there already tells uv which versions to keep.
        everything.writelines(path.read_text() for path in sorted(FOLDER.glob("*.txt")))
        everything.flush()
        full = resolve(
            "pyproject.toml", FOLDER / "build.in", "--all-extras", "--output-file", everything.name, *sys.argv[1:]
        )
        runtime = resolve("pyproject.toml", "--constraints", everything.name)
        build = resolve(FOLDER / "build.in", "--constraints", everything.name)

    def layer(name: str) -> str:
        if name in runtime:
            return "torch" if CUDA_BUILD.fullmatch(name) else "runtime"
        return "build" if name in build else "dev"

    for chosen in LAYERS:
        entries = [lines for name, lines in sorted(full.items()) if layer(name) == chosen]
        (FOLDER / f"{chosen}.txt").write_text("# Written by `make lock`; do not edit.\n" + "".join(entries))
        print(f"requirements/{chosen}.txt: {len(entries)} packages")
    lock_peers()


def lock_peers() -> None:
    """The packages of benchmarks/peers, each by itself: what they ask for beside is in .venv or not needed."""
    folder = ROOT / "benchmarks" / "peers"
    entries = resolve(
        "--no-deps", folder / "requirements.in", "--output-file", folder / "requirements.txt", *sys.argv[1:]
    )
    (folder / "requirements.txt").write_text("# Written by `make lock`; do not edit.\n" + "".join(entries.values()))


if __name__ == "__main__":
    main()
