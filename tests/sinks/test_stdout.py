"""Messages on standard output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.stdout import StdoutSink


def test_each_message_is_a_line() -> None:
    stream = io.StringIO()
    sink = StdoutSink(stream)
    sink.send(Message(b"key", b'{"a":1}', (("h", b"v"),)))
    sink.send(Message(b"key", None))
    sink.send(Message(None, b"two\nlines\xff"))
    sink.flush(1.0)
    sink.close(1.0)
    sink.close(1.0)
    assert stream.getvalue() == '{"a":1}\ntwo lines\\xff\n'


def test_json_is_utf_8_in_every_locale() -> None:
    value = '{"a":"\N{EURO SIGN}\N{GRINNING FACE}"}'
    code = (
        f"from detector.sinks.stdout import *; s = StdoutSink(); s.send(Message(None, {value.encode()!r})); s.flush(1)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=60)
    assert shown.stdout.decode() == value + "\n"


def test_full_disk_is_a_retriable_error() -> None:
    with Path("/dev/full").open("w") as stream:
        sink = StdoutSink(stream)
        sink.send(Message(None, b"{}"))
        with pytest.raises(DeliveryError) as caught:
            sink.flush(1.0)
        assert caught.value.retriable
        with pytest.raises(OSError, match="No space"):
            stream.close()


def test_closed_pipe_ends_the_process_quietly() -> None:
    code = """
from detector.errors import DeliveryError
from detector.protocols import Message
from detector.sinks.stdout import StdoutSink
sink = StdoutSink()
sink.send(Message(None, b"first"))
sink.flush(1.0)
input()  # until nobody reads any more
try:
    sink.send(Message(None, b"second"))
    sink.flush(1.0)
except DeliveryError as exc:
    raise SystemExit(0 if not exc.retriable else 3)
raise SystemExit(4)
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(300) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
