"""The command line: help, errors and exit codes."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from detector.cli import main
from detector.cli.application import IN_ORDER
from detector.cli.commands import app


def exit_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of the console script with `arguments`."""
    monkeypatch.setattr(sys, "argv", ["detector", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("produce", "--topic", "t", "--bootstrap", "broker"), 2, "'broker' is not host:port"),
        (("produce", "--topic", "t", "--bootstrap", "a:9092,b"), 2, "bootstrap_servers.1: 'b' is not host:port"),
        (("produce", "--topic", "t", "--output", "f"), 2, "choose where to write: either --topic or --output"),
        (("produce", "--output", "-", "--start", "soon"), 2, "'soon' is not a time like 2026-11-01T00:00Z"),
        (("produce", "--output", "-", "--start", "inf"), 2, "'inf' is not a time like"),
        (("demo", "--listen", "9464"), 2, "telemetry.listen: '9464' is not host:port"),
        (("demo", "--duration", "nan"), 2, "duration: must be at least 20 s"),
        (("replay", "/dev", "--scores", "s", "-c", "/nowhere/c.yaml"), 2, "/nowhere/c.yaml: 1 error"),
        (("train", "--topic", "t", "--output", "/tmp/w"), 2, "with --topic, give the time to read from"),
        (("train", "--synthetic", "--output", "/tmp"), 2, "/tmp is a folder; give the path of a weights file"),
        (("train", "--synthetic", "--compare", "lstmx8", "--output", "/dev/null/x"), 1, "detector: /dev/null/x"),
    ],
)
def test_wrong_use_is_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    assert exit_of(monkeypatch, *arguments) == code
    assert told in capsys.readouterr().err


def test_system_error_names_its_file_without_errno(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    weights = tmp_path / "file" / "weights.safetensors"
    assert exit_of(monkeypatch, "train", "--synthetic", "--output", str(weights)) == 1
    assert capsys.readouterr().err == f"detector: {tmp_path / 'file'}: File exists\n"


def test_help_of_backtest_shows_the_formats_of_labels() -> None:
    said = CliRunner().invoke(app, ["backtest", "--help"]).stdout
    assert '{"relative/path.csv": [[start, end], ...]}' in " ".join(said.split())


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (["replay"], "replay [OPTIONS] {INPUT}..."),
        (["backtest"], "backtest [OPTIONS] {SERIES}..."),
        (["train"], "train [OPTIONS] [DATA]..."),
        (["state", "warm"], "state warm [OPTIONS] {HISTORY}..."),
    ],
)
def test_help_names_arguments_as_documented(command: list[str], usage: str) -> None:
    said = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).stdout
    assert usage in said


COMMANDS = [
    *[[name] for name in ("run", "inspect", "demo", "replay", "backtest", "produce", "train")],
    *[["admin", "init"], ["state", "export"], ["state", "import"], ["state", "revert"], ["state", "warm"]],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_with_examples_whose_options_exist(command: list[str]) -> None:
    said = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).stdout
    examples = [line.strip() for line in said.partition("Examples:")[2].splitlines() if line.strip()]
    assert examples
    for words in [shlex.split(line, comments=True) for line in examples]:
        if words[0] == "detector":
            assert words[1 : 1 + len(command)] == command
            ran = CliRunner().invoke(app, [*words[1:], "--help"])
            assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("start", ["2026-11-01", "2026-11-01T01:00+01:00", "1793491200"])
def test_time_options_accept_date_rfc_3339_and_unix_seconds(start: str, tmp_path: Path) -> None:
    output = tmp_path / "records.jsonl"
    ran = CliRunner().invoke(app, ["produce", "--output", str(output), "--streams=1", "--steps=2", "--start", start])
    assert ran.exit_code == 0, ran.output
    assert '"timestamp":1793491200.0,' in output.read_text()


def test_help_lists_run_first_and_names_the_values_of_options() -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2].splitlines()
    assert tuple(line.split()[0] for line in listed if line.startswith("  ") and line[2] != " ") == IN_ORDER
    for command in COMMANDS:
        assert not re.search(r"--\S+ <", CliRunner().invoke(app, [*command, "--help"]).stdout), command


def test_missing_files_are_warnings_of_check_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DETECTOR_TEST_PASSWORD", raising=False)
    config, found = tmp_path / "config.yaml", tmp_path / "ca.pem"
    made = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=h -days 9 -keyout {tmp_path}/key -out {found}"
    subprocess.run(["openssl", *made.split()], check=True, capture_output=True)
    config.write_text(
        f"kafka: {{tls: {{enabled: true, ca_file: {found}, certificate_file: /nowhere/cert, key_file: /nowhere/key}},\n"
        "  sasl: {mechanism: PLAIN, username: me, password_env: DETECTOR_TEST_PASSWORD}}\n"
        "model: {weights: /nowhere/w.safetensors}\n"
        "sinks: {alertmanager: {enabled: true, urls: ['https://a'], bearer_token_file: /nowhere/token},\n"
        "  webhook: {enabled: true, url_file: /nowhere/address, username: a, password_file: /nowhere/word}}\n"
    )
    ran = CliRunner().invoke(app, ["check-config", "-c", str(config)])
    assert (ran.exit_code, ran.stdout) == (0, f"{config}: ok\n")
    assert [line.partition("user: ")[2] for line in ran.stderr.splitlines()] == [
        "kafka.tls.certificate_file: /nowhere/cert: no such file",
        "kafka.tls.key_file: /nowhere/key: no such file",
        "model.weights: /nowhere/w.safetensors: no such file",
        "model.weights, its card: /nowhere/w.json: no such file",
        "sinks.webhook.url_file: /nowhere/address: no such file",
        "sinks.webhook.password_file: /nowhere/word: no such file",
        "sinks.alertmanager.bearer_token_file: /nowhere/token: no such file",
        "kafka.sasl.password_env: the environment variable DETECTOR_TEST_PASSWORD is not set",
    ]


def test_inspect_offset_requires_stream() -> None:
    ran = CliRunner().invoke(app, ["inspect", "--offset", "5"], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert "add --stream" in ran.stderr


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "no sample to start with"),
        (
            '{"name": "a", "timestamp": 1700000000, "value": 1}\n{"name": "a", "value": "much"}\n[1\n',
            "2 lines cannot be decoded with decoder.type json, the first is line 2 of past (value: ",
        ),
    ],
)
def test_unusable_history_is_named_with_its_first_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, lines: str, told: str
) -> None:
    (tmp_path / "past.jsonl").write_text(lines)
    assert exit_of(monkeypatch, "state", "warm", str(tmp_path / "past.jsonl")) == 1
    assert f"detector: {tmp_path}/past.jsonl: {told}" in capsys.readouterr().err


def test_missing_weights_are_named_rather_than_their_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n1700000000,1\n")
    (tmp_path / "config.yaml").write_text("model: {weights: /nowhere/w.safetensors}\n")
    monkeypatch.chdir(tmp_path)
    assert exit_of(monkeypatch, "replay", "a.csv", "--scores", "s", "-c", "config.yaml") == 1
    assert capsys.readouterr().err == "detector: weights /nowhere/w.safetensors: No such file or directory\n"


@pytest.mark.parametrize("rows", ["", "yesterday,1\nno comma\n"])
@pytest.mark.parametrize("command", [("replay", "--scores"), ("backtest", "--report")])
def test_files_without_a_readable_row_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: tuple[str, str],
    rows: str,
) -> None:
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text("timestamp,value\n" + rows)
    assert exit_of(monkeypatch, command[0], str(tmp_path), command[1], str(tmp_path / "out")) == 1
    assert "x.csv and 1 more: no readable row `timestamp,value`" in capsys.readouterr().err


INTERRUPTED_WHILE_IMPORTING = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "detector.cli.application":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from detector.cli import main
main()
"""


def test_ctrl_c_during_startup_ends_quietly() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("command", "output", "error"),
    [
        ("check-config", "> /dev/full", "No space left on device"),
        (
            "produce --output - --streams 1 --steps 2",
            "> /dev/full",
            "standard output: cannot be written: No space left",
        ),
        ("produce --output - --streams 1 --steps 2", ">&-", "output: standard output is closed"),
    ],
)
def test_full_standard_output_is_a_named_error(command: str, output: str, error: str) -> None:
    said = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m detector {command} {output}"], capture_output=True, text=True
    )
    assert said.returncode
    assert error in said.stderr
    assert "Errno" not in said.stderr
    assert "Traceback" not in said.stderr


STOPPED_WHILE_IMPORTING = """
import os, signal, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "detector.cli.application":
            os.kill(process, signal.SIGTERM)

process, os.getpid = os.getpid(), lambda: 1
sys.meta_path.insert(0, Stop())
from detector.cli import main
main()
"""


def test_process_1_stopped_during_startup_ends() -> None:
    """The kernel ignores SIGTERM for a process 1 without a handler; any other process would die of it (-15)."""
    done = subprocess.run([sys.executable, "-c", STOPPED_WHILE_IMPORTING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, "", "")


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_config_as_an_argument_is_an_error_that_names_the_option(command: str) -> None:
    ran = CliRunner().invoke(app, [command, "some.yaml"])
    assert ran.exit_code == 2
    assert f"Usage: detector {command} [OPTIONS]\n" in ran.stderr.replace("root", "detector")
    assert "pass the configuration file as an option: -c some.yaml" in ran.stderr
