"""Certificates for servers and clients on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def identity(folder: Path, name: str) -> None:
    """`name`.pem and `name`.key, for localhost, signed by itself."""
    words = (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    files = ["-out", str(folder / f"{name}.pem"), "-keyout", str(folder / f"{name}.key")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identities")
    for name in ("ours", "next", "theirs"):
        identity(folder, name)
    return folder
