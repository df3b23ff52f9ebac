"""`detector inspect`: what it shows of a store, and that it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from detector.cli.commands import app
from detector.errors import StateDamaged, StateMissing
from detector.inspect import look
from tests.state.stocked import LINEAGE, Stock, directory_config, key


def inspect(folder: Path, *arguments: str) -> Result:
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(yaml.safe_dump({"state": {"type": "directory", "directory": {"path": str(folder)}}}))
    return CliRunner().invoke(app, ["inspect", "-c", str(file), *arguments])


def as_json(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    result = inspect(folder, "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}


def test_overview_shows_every_snapshot_of_every_partition(stocked: Path) -> None:
    first, second = as_json(stocked)
    assert (first["topic"], first["partition"], second["partition"]) == ("metrics", 0, 1)
    assert [snapshot["offset"] for snapshot in first["snapshots"]] == [80, 70]
    newest = first["snapshots"][0]
    assert (newest["streams"], len(newest["blocks"]), newest["damaged"]) == (300, 2, None)
    assert newest["bytes"] > 300 * 3000
    assert (newest["topic_id"], newest["leader_epoch"]) == (LINEAGE.topic_id, LINEAGE.leader_epoch)
    text = inspect(stocked).stdout.splitlines()
    assert len(text) == 5
    assert text[0].split()[:3] == ["PARTITION", "OFFSET", "WRITTEN"]
    assert "intact" in text[1]
    assert "lstm-32x1" in text[1]


def test_partition_shows_its_blocks(stocked: Path) -> None:
    text = inspect(stocked, "--partition", "metrics/0").stdout
    assert "topic id: 11111111" in text
    assert [line.split()[:3] for line in text.splitlines()[-2:]] == [["0", "80", "256"], ["1", "80", "44"]]


@pytest.mark.parametrize("name", [str(key(0)), key(0).fingerprint, 'cpu{ host="h0" }'])
def test_stream_is_found_by_labels_or_fingerprint_on_any_partition(stocked: Path, name: str) -> None:
    found = as_json(stocked, "--stream", name)
    assert [(one["partition"], one["offset"]) for one in found] == [(0, 80), (1, 80)]
    meaning = found[0]["meaning"]
    assert meaning["alert"] == "firing"
    assert meaning["alert_worst"]["value"] == pytest.approx(1e3, abs=2)
    assert (meaning["samples"], meaning["interval_seconds"], meaning["warming_up"]) == (80, 60.0, False)
    assert meaning["last_value"] == pytest.approx(1e3, abs=2)
    assert meaning["band"][0] < meaning["forecast"] < meaning["band"][1]
    assert meaning["forecaster"] in ("lstm", "last_value", "running_mean", "best_naive")
    assert found[0]["labels"] == {"__name__": "cpu", "host": "h0"}
    text = inspect(stocked, "--stream", name, "--partition", "metrics/1").stdout
    assert "alert worst value" in text.replace("  ", " ")


def test_stream_is_found_in_an_older_snapshot(stocked: Path) -> None:
    (found, _) = as_json(stocked, "--stream", str(key(0)), "--offset", "70")
    assert (found["offset"], found["meaning"]["samples"], found["meaning"]["alert"]) == (70, 70, "none")


def test_streams_are_listed_by_pattern_and_by_alert(stocked: Path) -> None:
    listed = as_json(stocked, "--match", 'cpu{host="h1?"}')
    assert [one["series"] for one in listed] == [str(key(number)) for number in range(10, 20)]
    (one,) = as_json(stocked, "--stream", str(key(12)), "--partition", "metrics/0")
    for name in ("last_time", "last_value", "samples", "warming_up", "forecaster", "skill", "alert"):
        assert listed[2][name] == one["meaning"][name], name
    assert len(as_json(stocked, "--match", "*")) == 303
    assert len(as_json(stocked, "--match", "*", "--partition", "metrics/1")) == 3
    firing = as_json(stocked, "--firing")
    assert {one["alert"] for one in firing} == {"firing"}
    assert str(key(0)) in {one["series"] for one in firing}
    assert len(firing) < 10
    head, first, *_ = inspect(stocked, "--firing").stdout.splitlines()
    assert head.split()[0] == "SERIES"
    assert first.startswith(firing[0]["series"])
    assert f"firing since {firing[0]['alert_since'][:19]}Z, score {firing[0]['alert_score']:.2f}: 100" in first
    scores = [one["alert_score"] for one in firing]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 1.0
    assert {one["alert_held"] for one in firing} == {None}
    (worst,) = as_json(stocked, "--stream", firing[0]["series"], "--partition", f"metrics/{firing[0]['partition']}")
    for name in ("value", "expected"):
        assert firing[0][f"alert_{name}"] == worst["meaning"]["alert_worst"][name]
    assert inspect(stocked, "--firing", "--stream", "x").exit_code == 2
    nothing = inspect(stocked, "--match", "disk*")
    assert (nothing.exit_code, nothing.stdout.splitlines()[1:]) == (0, [])
    assert nothing.stderr == "no stream matches disk* with its whole name and labels; try '*disk*'\n"
    assert inspect(stocked, "--match", "disk", "--firing").stderr.startswith(
        "no stream with a firing alert matches disk "
    )
    assert json.loads(inspect(stocked, "--match", "disk*", "--json").stdout) == []


def test_group_is_listed_without_the_figures_of_a_stream(tmp_path: Path) -> None:
    config = directory_config(tmp_path, groups={"by": ["host"]})
    stock = Stock(config)
    stock.feed(5)
    stock.checkpoint()
    stock.store.close(5.0)
    found = look.listed(config, ("metrics", 1), "*", stock.pipeline, firing=False, silent=False)
    groups = [one for one in found if "__group__" in one.series]
    assert (len(found), len(groups)) == (6, 3)
    assert {(one.last_value, one.samples, one.forecaster, one.skill, one.alert) for one in groups} == {
        (None, None, None, None, "none")
    }
    line = next(line for line in look.lines_of(groups, as_json=False) if groups[0].series in line)
    assert line.split()[1:] == ["metrics/1", f"{(groups[0].last_time or '')[:19]}Z", "none"]


def test_an_alert_that_is_not_sent_says_why(tmp_path: Path) -> None:
    config = directory_config(tmp_path, alerts={"not_before": "2100-01-01T00:00:00Z"})
    stock = Stock(config)
    stock.two_snapshots()
    found = look.listed(config, ("metrics", 1), "*", stock.pipeline, firing=True, silent=False)
    assert [one.alert_held for one in found] == ["muted"] * len(found)
    assert (
        f"firing (muted) since {(found[0].alert_since or '')[:19]}Z, " in list(look.lines_of(found, as_json=False))[1]
    )


def test_silent_streams_are_listed(stocked: Path, tmp_path: Path) -> None:
    assert as_json(stocked, "--silent") == []
    assert inspect(stocked, "--silent").stderr == "no stream had fallen silent by the last checkpoint\n"
    stock = Stock(directory_config(tmp_path))
    stock.feed(70)
    stock.feed(10, silent=2)
    stock.checkpoint()
    stock.store.close(5.0)
    found = as_json(tmp_path, "--silent", "--partition", "metrics/0")
    assert [one["series"] for one in found] == [str(key(298)), str(key(299))]
    assert len(as_json(tmp_path, "--silent", "--match", "*h299*")) == 1
    assert inspect(tmp_path, "--silent", "--match", "x").stderr.startswith("no silent stream matches x with its whole")
    assert inspect(tmp_path, "--silent", "--firing").stderr.startswith("no stream with a firing alert had fallen")
    assert inspect(tmp_path, "--silent", "--stream", "x").exit_code == 2


def test_partition_without_a_snapshot_hides_no_streams_of_others(tmp_path: Path) -> None:
    Stock(directory_config(tmp_path)).two_snapshots()
    before = as_json(tmp_path, "--match", "*h2*"), as_json(tmp_path, "--firing")
    topic = tmp_path / "group=detector" / "topic=metrics"
    (topic / "2").mkdir()
    first_block = sorted((topic / "1").glob("block-*"))[0]
    shutil.copy(first_block, topic / "2")  # its first checkpoint was cut short
    assert (as_json(tmp_path, "--match", "*h2*"), as_json(tmp_path, "--firing")) == before
    alone = inspect(tmp_path, "--match", "*", "--partition", "metrics/2").exception
    assert isinstance(alone, StateMissing)
    assert str(alone).startswith("nothing is stored of metrics/2 for group detector in the folder ")
    unknown = inspect(tmp_path, "--stream", "disk", "--partition", "metrics/2").exception
    assert str(unknown) == "metrics/2: there is no snapshot"
    for manifest in (topic / "1").glob("manifest-*"):
        manifest.write_bytes(b"")
    assert "metrics/1: there is no intact snapshot; " in str(inspect(tmp_path, "--match", "*").exception)


def test_inspect_writes_nothing(stocked: Path) -> None:
    before = files(stocked)
    for arguments in ([], ["--partition", "metrics/0"], ["--stream", str(key(5))]):
        assert inspect(stocked, *arguments).exit_code == 0
    assert files(stocked) == before


def test_missing_partition_stream_or_offset_is_named(stocked: Path, tmp_path: Path) -> None:
    empty = directory_config(tmp_path / "nothing")
    with pytest.raises(StateMissing, match=r"nothing is stored for group detector in the folder /.*/nothing;"):
        look.surveys(empty, None)
    assert not (tmp_path / "nothing").exists(), "not even a folder"
    with pytest.raises(StateMissing, match="nothing is stored of metrics/7"):
        look.surveys(directory_config(stocked), ("metrics", 7))
    with pytest.raises(StateMissing, match=r'^no stream cpu\{host="h01"\} among \d+ in the folder .*; similar: cpu\{h'):
        look.streams(directory_config(stocked), None, 'cpu{host="h01"}', None, Stock(empty).pipeline)
    assert inspect(stocked, "--partition", "metrics").exit_code == 2


def test_g13_damage_is_shown_and_is_an_error_without_a_whole_snapshot(tmp_path: Path) -> None:
    Stock(directory_config(tmp_path)).two_snapshots()
    folder = tmp_path / "group=detector" / "topic=metrics" / "1"
    newest, older = sorted(folder.glob("block-*"), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-1])
    found = as_json(tmp_path)
    assert "bytes long instead of" in found[1]["snapshots"][0]["damaged"]
    assert found[1]["snapshots"][1]["damaged"] is None
    os.remove(older)
    result = inspect(tmp_path)
    assert "DAMAGED" in result.stdout
    assert isinstance(result.exception, StateDamaged)
    assert str(result.exception) == "no intact snapshot of metrics/1"
