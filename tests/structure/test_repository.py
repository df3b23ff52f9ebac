"""The repository names no address that packages are downloaded from, and no path of the machine it was written on.

Whoever installs it has an index or a mirror of their own configured, and a written address would bypass it.
"""

import re
import subprocess

from tests.structure.source import ROOT

# Put together from pieces, so that this file does not find itself.
ADDRESSES = [
    "files.python" + "hosted",
    "pypi." + "org",
    "/sim" + "ple/",
    "download.py" + "torch",
    "repo1." + "maven",
    "repo.maven." + "apache",
    "registry." + "npmjs",
    "deb." + "debian",
    "static.crates" + ".io",
    "proxy.golang" + ".org",
]
MACHINE_PATHS = [r"(?<![\w.}])/(work|root)" + "/"]
FORBIDDEN = re.compile("|".join([*map(re.escape, ADDRESSES), *MACHINE_PATHS]))


def test_no_download_address_and_no_machine_path() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{name}:{number}: {hit[0]}" for hit in FORBIDDEN.finditer(line)]
    assert not found, "\n".join(found)
