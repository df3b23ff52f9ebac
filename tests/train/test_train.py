"""Training from files, early stopping, and resuming after an interruption."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detector.errors import ModelError, SourceError
from detector.models.weights import load
from detector.train import TrainOptions, train
from detector.train.files import read_series
from detector.train.material import Recorded
from detector.train.resume import path_of


def write(path: Path, count: int, seed: int = 0, start: float = 1.7e9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(size=count).cumsum()
    lines = [f"{start + 60 * at:.0f},{value!r}" for at, value in enumerate(values.tolist())]
    path.write_text("timestamp,value\n" + "\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in {"a": 500, "b/c": 180, "short": 20}.items():
        write(tmp_path / "data" / f"{name}.csv", count, seed=len(name))
    return tmp_path / "data"


def sizes(tmp_path: Path, **changes: Any) -> TrainOptions:
    small = TrainOptions(tmp_path / "w.safetensors", updates=12, streams=16, steps=400, hidden_size=4, passes=2)
    return replace(small, **changes)


class Interrupt(Exception):
    pass


def interrupted_after(updates: int, options: TrainOptions) -> None:
    def progress(phase: str, done: int, total: int, figure: str) -> None:
        if phase == "learn" and done > updates:
            raise Interrupt

    with pytest.raises(Interrupt):
        train(options, progress)


@pytest.mark.parametrize("after", [2, 5, 11])
def test_resumed_training_ends_with_the_same_weights(tmp_path, after):
    options = sizes(tmp_path)
    whole = train(replace(options, output=tmp_path / "whole.safetensors"))
    interrupted_after(after, options)
    torch.manual_seed(99)
    resumed = train(replace(options, resume=True))
    assert resumed["sha256"] == whole["sha256"]
    assert resumed["loss_curve"] == whole["loss_curve"]
    assert not path_of(options.output).exists()


def test_training_that_cannot_be_resumed_is_an_error(tmp_path):
    options = sizes(tmp_path, resume=True)
    with pytest.raises(ModelError, match="nothing to resume"):
        train(options)
    interrupted_after(8, replace(options, resume=False))
    with pytest.raises(
        ModelError, match=r"belongs to another training: options\.cell was lstm, is gru; options\.seed was 1, is 2"
    ):
        train(replace(options, cell="gru", seed=2))
    path_of(options.output).write_bytes(b"hello")
    with pytest.raises(ModelError, match="not the resume file of a training"):
        train(options)


def test_files_are_learned_from_and_their_ends_held_out(tmp_path, folder):
    options = sizes(tmp_path, data=(folder,), updates=60, passes=6)
    card = train(options)
    assert card["command"].startswith("detector train data --cell lstm")
    assert " --updates 60 --streams 16 --steps 400 --output" in card["command"]
    assert card["data"]["series"] == 2
    assert card["data"]["samples"] == 680
    assert card["held_out"]["ratio"] == pytest.approx(1, abs=0.3)
    assert load(options.output).card["held_out"] == card["held_out"]


def test_held_out_samples_are_never_drawn(tmp_path, folder):
    series = read_series([folder])
    material = Recorded(series, sizes(tmp_path, data=(folder,), steps=200))
    held_out = material.held_out()
    assert held_out.mask_TS.sum(0).tolist() == [100, 36]
    changed = [replace(one, values=np.r_[one.values[: one.cut], one.values[one.cut :] + 9]) for one in series]
    other = Recorded(changed, sizes(tmp_path, data=(folder,), steps=200))
    for number in range(5):
        assert torch.equal(material.draw(number).target_TS, other.draw(number).target_TS)
    assert not torch.equal(held_out.target_TS, other.held_out().target_TS)


def test_training_stops_when_the_held_out_part_gets_no_better(tmp_path, folder):
    options = sizes(tmp_path, data=(folder,), updates=2000, passes=50, patience=1)
    card = train(options)
    looks = card["held_out_curve"]
    assert card["updates"] == looks[-1][0] < 2000
    assert looks[-1][1] >= min(loss for _, loss in looks[:-1])
    assert card["held_out"]["loss"] == pytest.approx(min(loss for _, loss in looks), abs=1e-4)


def test_resumed_training_keeps_the_best_evaluation(tmp_path, folder):
    options = sizes(tmp_path, data=(folder,), updates=150, passes=10, patience=9)
    whole = train(replace(options, output=tmp_path / "whole.safetensors"))
    interrupted_after(120, options)
    resumed = train(replace(options, resume=True))
    assert (resumed["sha256"], resumed["held_out_curve"]) == (whole["sha256"], whole["held_out_curve"])


def test_files_without_usable_samples_are_errors(tmp_path, folder):
    with pytest.raises(SourceError, match="the longest of 1 series has 20"):
        read_series([folder / "short.csv"])
    with pytest.raises(SourceError, match="none: no such file"):
        read_series([tmp_path / "none"])
    (folder / "text.csv").write_text("hello\nworld, again\n")
    with pytest.raises(SourceError, match=r"text\.csv: no line holds a sample; line 1: columns"):
        read_series([folder])


def test_unordered_repeated_and_malformed_lines_of_files(tmp_path):
    write(tmp_path / "a.csv", 150)
    whole = read_series([tmp_path / "a.csv"])[0]
    lines = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join([*reversed(lines[1:]), lines[5], "what,is this", "1700000030,"]))
    mixed = read_series([tmp_path / "a.csv"])[0]
    np.testing.assert_array_equal(mixed.values, whole.values)
    assert (whole.malformed_lines, mixed.malformed_lines) == (0, 1)


def test_times_and_values_that_the_daemon_discards_are_not_learned_from(tmp_path):
    write(tmp_path / "a.csv", 150)
    whole = read_series([tmp_path / "a.csv"])[0]
    with (tmp_path / "a.csv").open("a") as file:
        file.write("-5,1\n1e300,1\n1700010000,1e200\n1700010060,NaN\n1700010120,-inf\n")
    mixed = read_series([tmp_path / "a.csv"])[0]
    np.testing.assert_array_equal(mixed.times, whole.times)
    np.testing.assert_array_equal(mixed.values, whole.values)


def test_series_of_a_long_table_are_those_of_files_of_their_own(tmp_path, folder):
    (folder / "short.csv").unlink()
    apart = read_series([folder])
    lines = [(path.stem, line) for path in folder.rglob("*.csv") for line in path.read_text().splitlines()[1:]]
    lines.sort(key=lambda line: line[1].partition(",")[0])
    long = tmp_path / "long.csv"
    long.write_text("timestamp,value,host\n" + "".join(f"{line},{host}\n" for host, line in lines))
    told: list[str] = []
    together = read_series([long], None, told.append)
    assert [one.name for one in together] == ['long/{host="a"}', 'long/{host="c"}']
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_array_equal(one.times, other.times)
        np.testing.assert_array_equal(one.values, other.values)
    assert told == [f"{long}: rows of several series, told apart by column 'host'"]


@pytest.mark.parametrize("name", ["w.json", "w.2025", "w"])
def test_weights_file_whose_card_name_would_collide_is_an_error(tmp_path, name):
    with pytest.raises(ModelError, match=rf"^--output: {tmp_path}/{name} does not end in \.safetensors"):
        train(replace(sizes(tmp_path), output=tmp_path / name))
    assert list(tmp_path.iterdir()) == []
