"""`detector admin init` and `detector state` with real brokers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from detector.cli.commands import app
from detector.config import Config
from detector.errors import StateMissing, StateOccupied, TopicMissing, TopicUnfit
from detector.inspect import look, move
from detector.state.directory import DirectoryReader
from detector.state.kafka_topic import require_topic
from tests.integration.driving import MakeSource, read
from tests.kafka.endpoint import Endpoint
from tests.state.stocked import PARTITIONS, Stock, directory_config

pytestmark = pytest.mark.integration


class Setting:
    """An input topic, and a configuration whose other topics do not exist yet."""

    def __init__(self, kafka: Endpoint, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.settings: dict[str, Any] = {
            "kafka": {"bootstrap_servers": [kafka.bootstrap], "request_timeout_seconds": 30},
            "source": {
                "kafka": {
                    "topics": [kafka.create_topic(partitions=3)],
                    "group_id": kafka.name("group"),
                    "partitioning": "repartition",
                    "repartition_topic": kafka.name("samples"),
                }
            },
            "sinks": {"kafka": {"topic": kafka.name("alerts")}},
            "dead_letter": {"topic": kafka.name("dead")},
            "state": {"type": "kafka", "kafka": {"topic": kafka.name("state")}},
        }
        source = self.settings["source"]["kafka"]
        self.state: str = self.settings["state"]["kafka"]["topic"]
        self.topics = {source["repartition_topic"], self.state, self.settings["sinks"]["kafka"]["topic"]}
        self.topics |= {self.settings["dead_letter"]["topic"]}

    @property
    def config(self) -> Config:
        return Config.model_validate(self.settings)

    def init(self, *arguments: str) -> Result:
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(self.settings))
        return CliRunner().invoke(app, ["admin", "init", "-c", str(file), *arguments])

    def there(self) -> set[str]:
        return self.topics & self.kafka.topics()


@pytest.fixture
def setting(kafka: Endpoint, tmp_path: Path) -> Setting:
    return Setting(kafka, tmp_path)


def test_init_creates_missing_topics_once_and_the_daemon_accepts_them(setting: Setting) -> None:
    first = setting.init("--dry-run")
    assert first.exit_code == 0, first.output
    assert (first.stdout.count("would be created"), setting.there()) == (4, set())
    made = setting.init()
    assert (made.exit_code, made.stdout.count(" created, ")) == (0, 4), made.output
    assert setting.there() == setting.topics
    require_topic(setting.config.kafka, setting.state, setting.config.source.kafka.topics)
    again = setting.init()
    assert (again.exit_code, again.stdout.count("is as it should be")) == (0, 4), again.output


def test_init_names_wrong_topics_and_changes_nothing(setting: Setting) -> None:
    setting.kafka.create_topic(setting.state, partitions=1)
    for _ in range(2):
        result = setting.init()
        assert f"{setting.state} MUST BE FIXED: it has 1 partitions, but streams are on 3" in result.stdout
        assert f"{setting.state} MUST BE FIXED: cleanup.policy is delete, not compact" in result.stdout
        assert "--add-config cleanup.policy=[compact]" in result.stdout
        assert f"{setting.state} could be better: segment.ms is" in result.stdout
        assert isinstance(result.exception, TopicUnfit)
    assert setting.there() == setting.topics, "the others were made"


def test_init_creates_no_input_topic_without_its_number_of_partitions(setting: Setting) -> None:
    setting.settings["source"]["kafka"]["topics"] = ["nowhere"]
    assert isinstance(setting.init().exception, TopicMissing)
    assert setting.there() == set()


def test_init_creates_input_topics_with_the_given_number_of_partitions(setting: Setting) -> None:
    old, new = setting.settings["source"]["kafka"]["topics"][0], setting.kafka.name("metrics")
    setting.settings["source"]["kafka"]["topics"] = [old, new]
    dry = setting.init("--input-partitions", "5", "--dry-run")
    assert f"{new} would be created, 5 partitions" in dry.stdout
    assert new not in setting.kafka.topics()
    made = setting.init("--input-partitions", "5")
    assert made.exit_code == 0, made.output
    assert f"source.kafka.topics: {new} created, 5 partitions" in made.stdout
    assert f"{setting.state} created, 5 partitions" in made.stdout, "the larger of the two"
    assert f"source.kafka.topics: {old} exists, 3 partitions, not 5: existing topics are not changed" in made.stdout
    again = setting.init("--input-partitions", "5")
    assert again.exit_code == 0
    assert f"source.kafka.topics: {new} exists, 5 partitions\n" in again.stdout


def test_state_copied_to_a_topic_and_back_is_byte_equal(setting: Setting, tmp_path: Path) -> None:
    setting.settings["source"]["kafka"] |= {"group_id": "detector", "partitioning": "trusted"}
    setting.init()
    folder, config = directory_config(tmp_path / "one"), setting.config
    Stock(folder).two_snapshots()
    move.export_to(folder, tmp_path / "a.tar", None, force=False)
    with pytest.raises(StateMissing, match="nothing is stored for group detector in the topic "):
        look.surveys(config, None)
    move.import_from(config, tmp_path / "a.tar", None, at=None, force=False, while_running=False)
    surveys = look.surveys(config, None)
    assert [[one.offset for one in found.snapshots] for found in surveys] == [[80, 70], [80, 70]]
    move.export_to(config, tmp_path / "b.tar", None, force=False)
    two = directory_config(tmp_path / "two")
    move.import_from(two, tmp_path / "b.tar", None, at=None, force=False, while_running=True)
    for partition in PARTITIONS:
        first, second = (DirectoryReader(tmp_path / name, "detector").open(partition) for name in ("one", "two"))
        assert dict(first.blobs) == dict(second.blobs)
    assert move.revert(config, PARTITIONS[0], at=None, while_running=False) == [
        "metrics/0 goes back to offset 70, 300 streams"
    ]
    assert [[one.offset for one in found.snapshots] for found in look.surveys(config, None)] == [[70], [80, 70]]


def test_revert_is_refused_while_a_worker_runs(setting: Setting, make_source: MakeSource, tmp_path: Path) -> None:
    topic, group = setting.settings["source"]["kafka"]["topics"][0], setting.kafka.name("group")
    setting.kafka.produce(topic, [b"a"])
    stored = directory_config(
        tmp_path / "state", kafka=setting.settings["kafka"], source={"kafka": {"group_id": group}}
    )
    Stock(stored).two_snapshots()
    source = make_source(topic, group_id=group)
    read(source, 1)
    with pytest.raises(StateOccupied, match=rf"group {group} has 1 running member \(detector at .*--while-running"):
        move.revert(stored, PARTITIONS[0], at=None, while_running=False)
    assert len(look.surveys(stored, PARTITIONS[0])[0].snapshots) == 2, "looking is allowed, and nothing is gone"
    source.close(60.0)
    move.revert(stored, PARTITIONS[0], at=None, while_running=False)
    assert len(look.surveys(stored, PARTITIONS[0])[0].snapshots) == 1
