"""Makes .venv, or brings it up to date; quick when there is nothing to do. Called by make, needs only Python.

    python3 tools/venv.py runtime              what `detector` needs to run
    python3 tools/venv.py dev                  the same, and what the tests, checks and benchmarks need
    python3 tools/venv.py dev --torch "..."    torch from elsewhere: what stands there is handed to `pip install`

Every package is installed at the version and with the hashes of requirements/*.txt. torch is the one exception, and
only where --torch says so; that choice is remembered, so that later calls need not repeat it.

What was installed is noted in .venv/installed.json, which is removed before the first change and written after the
last: an environment without it is half made, and is made again. One call at a time works on it; others wait.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
NOTE = os.path.join(VENV, "installed.json")
LAYERS = {"runtime": ["runtime", "build"], "dev": ["runtime", "build", "dev"]}
OLDEST = (3, 11)


def main() -> None:
    """Do what is missing; exit with a message where this Python cannot."""
    parser = argparse.ArgumentParser(description="Make .venv, or update it.")
    parser.add_argument("level", choices=sorted(LAYERS))
    parser.add_argument("--torch", default="", help="arguments of `pip install` that bring torch, instead of our own")
    arguments = parser.parse_args()
    check_python()
    if os.path.islink(VENV):
        sys.exit(f"{VENV} is a link to {os.path.realpath(VENV)}, which is not ours to change: remove the link")
    with open(__file__, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bring_up_to_date(arguments.level, arguments.torch.strip())


def check_python() -> None:
    """Exit with what to install where this Python is too old or cannot make an environment."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"detector needs Python {OLDEST[0]}.{OLDEST[1]} or newer; {sys.executable} is {sys.version.split()[0]}.\n"
            "Name another one: make PYTHON=python3.13 ..."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            f"{sys.executable} cannot make virtual environments: its ensurepip is missing.\n"
            f"On Debian and Ubuntu: apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )


def bring_up_to_date(level: str, torch: str) -> None:
    """Compare the environment with what is wanted, and install the difference."""
    before = read_note()
    torch = torch or before.get("torch", "")
    if before.get("level") == "dev":
        level = "dev"
    wanted = {"torch": torch, "python": sys.version, "place": VENV, "level": level, "hash": content_hash(level)}
    if before == wanted:
        return
    if os.path.exists(NOTE):
        os.remove(NOTE)
    if any(before.get(name) != wanted[name] for name in ("torch", "python", "place")):
        # This may be the environment's own Python, which is about to be removed; what it was made from stays.
        python = getattr(sys, "_base_executable", sys.executable)
        say("making .venv with " + python)
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([python, "-m", "venv", VENV], check=True)
    install(level, torch)
    with open(NOTE + ".new", "w") as note:
        json.dump(wanted, note, indent=2)
    os.replace(NOTE + ".new", NOTE)


def read_note() -> "dict[str, str]":
    """What was installed, or nothing where the environment is missing, half made or broken."""
    try:
        with open(NOTE) as note:
            before: dict[str, str] = json.load(note)
        subprocess.run([PYTHON, "-c", ""], check=True, stderr=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return {}
    return before


def content_hash(level: str) -> str:
    """Of all that decides what is installed: the pins, and pyproject.toml less the settings of other tools."""
    import tomllib  # which older Pythons, turned away by now, do not have

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as content:
        project = tomllib.load(content)
    project["tool"] = project["tool"]["hatch"]
    digest = hashlib.sha256(json.dumps(project, sort_keys=True).encode())
    for name in requirements(*LAYERS[level], "torch"):
        with open(name, "rb") as content:
            digest.update(content.read())
    return digest.hexdigest()


def requirements(*layers: str) -> "list[str]":
    """The files that pin these layers."""
    return [os.path.join(ROOT, "requirements", layer + ".txt") for layer in layers]


def install(level: str, torch: str) -> None:
    """All packages, then detector itself, in editable form."""
    layers = LAYERS[level]
    if torch:
        say(f"installing packages ({', '.join(layers)})")
        pip_hashed(layers)
        say("installing torch: pip install " + torch)
        pip("install", *shlex.split(torch))
    else:
        say(f"installing packages ({', '.join(layers)}) and torch with its CUDA libraries, about 5 GB on disk")
        say("(the README says how to use the CPU build, 200 MB, instead)")
        pip_hashed([*layers, "torch"])
    pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT)
    pip("check", "--quiet")


def pip_hashed(layers: "list[str]") -> None:
    """Install what these layers pin, and nothing else."""
    files = [part for name in requirements(*layers) for part in ("--requirement", name)]
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    pip("install", "--require-hashes", *quiet, *files)


def pip(*arguments: str) -> None:
    """Run the environment's pip; what it says on failure is the message."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit(f"set-up stopped: {' '.join(command)} failed")


def say(line: str) -> None:
    """One line of progress."""
    print("setup: " + line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("set-up interrupted; the next one starts over")
