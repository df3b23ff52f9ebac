"""Making sources from a configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detector.config import parse
from detector.decoders import DECODERS
from detector.errors import SourceError
from detector.sources import SOURCES


def test_file_source_reads_the_suffixes_of_its_decoder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.jsonl").touch()
    for decoder, name in (("csv", "a"), ("json", "b")):
        text = f"source: {{type: file, file: {{paths: ['{tmp_path}']}}}}\ndecoder: {{type: {decoder}}}"
        assert SOURCES["file"](parse(text, "test")).changes().assigned == {(name, 0)}


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_file_source_has_suffixes_for_every_decoder(decoder: str, tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.touch()
    needed = {"avro": ", avro: {schema_file: metric.avsc}"}.get(decoder, "")
    text = f"source: {{type: file, file: {{paths: ['{file}']}}}}\ndecoder: {{type: {decoder}{needed}}}"
    assert SOURCES["file"](parse(text, "test")).changes().assigned == {("records", 0)}
    with pytest.raises(SourceError, match=r"holds no .* file"):
        SOURCES["file"](parse(text.replace(str(file), str(tmp_path)), "test"))


def test_host() -> None:
    source = SOURCES["host"](parse("source: {type: host, host: {interval_seconds: 0.01}}", "test"))
    source.resume(source.changes().assigned)
    assert len(source.poll(1.0)) == 1
    source.close(1.0)


def test_client_library_is_imported_only_when_needed() -> None:
    code = "import sys, detector.sources; print(*sorted({'kafka', 'psutil', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
