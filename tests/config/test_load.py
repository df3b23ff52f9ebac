"""Reading config.yaml: every error at once, with its dotted path and a suggestion."""

from pathlib import Path

import pytest
import yaml

from detector.config import Config, load, parse
from detector.config.load import keys
from detector.errors import ConfigError


def findings(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "test.yaml")
    return raised.value.findings


def test_every_error_is_reported_at_once() -> None:
    found = findings(
        """
        scoring: {band_coverag: 2, warmup_samples: 3}
        bootstrap_servers: [a]
        kafka: {bootstrap_servers: [foo], sasl: {mechanism: PLAIN}}
        telemetry: {log_level: loud}
        """
    )
    text = "\n".join(found)
    assert len(found) == 6
    assert "scoring.band_coverag: unknown key, did you mean scoring.band_coverage?" in text
    assert "bootstrap_servers: unknown key, did you mean kafka.bootstrap_servers?" in text
    assert "scoring.warmup_samples: input should be greater than or equal to 10 (got 3)" in text
    assert "kafka.bootstrap_servers.0: 'foo' is not host:port" in found, "quoted once"
    assert "kafka.sasl: mechanism is set, so username is needed" in text
    assert "telemetry.log_level" in text


@pytest.mark.parametrize("digits", ["0x" + "f" * 100_000, "9" * 100_000, "'" + "9" * 100_000 + "'"])
def test_absurdly_long_numbers_are_an_error_of_one_line(digits: str) -> None:
    (found,) = findings(f"checkpoint: {{interval_seconds: {digits}}}")
    assert len(found) < 400


MAY_BE_0 = {"alerts.cooldown_seconds", "source.kafka.fetch_max_wait_seconds"}


@pytest.mark.parametrize("key", sorted({key for key in keys() if key.endswith("_seconds")} - MAY_BE_0))
def test_times_have_a_millisecond_at_least(key: str) -> None:
    *sections, name = key.split(".")
    text = "".join(f"{{{section}: " for section in sections) + f"{{{name}: 5.0e-324}}" + "}" * len(sections)
    (found,) = findings(text)
    assert found.startswith(f"{key}: input should be greater than or equal to ")


@pytest.mark.parametrize(
    "text",
    [
        "{source: {type: host}, sinks: {kafka: {topic: metrics}}}",
        "{sinks: {kafka: {enabled: false, topic: metrics}}}",
        "{state: {type: directory, kafka: {topic: metrics}}}",
        "{source: {kafka: {topics: [a, a], repartition_topic: a}}}",
    ],
)
def test_topic_of_a_disabled_component_may_have_any_name(text: str) -> None:
    parse(text, "test.yaml")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[1, 2]", "must be a mapping of sections, not a list"),
        ("a: [", "is not valid YAML: line 1"),
        ("alerts: {trigger: {anomalous: 3, of: 2}}", "alerts.trigger: anomalous (3) can never be reached in 2 samples"),
        ("source: {type: file}", "source.file.paths: is empty"),
        ("decoder: {type: csv}", "decoder.type: csv is for files, because a stream is named after its file"),
        (
            "{source: {type: host}, decoder: {type: influx}}",
            "influx cannot read the records of source.type: host",
        ),
        ("{source: {type: host}, decoder: {type: csv}}", "decoder.type: csv cannot read the records of source.type"),
        ("kafka:\nstate: {type: none}", "kafka: is empty: leave it out, or give it keys"),
        ("kafka: broker:9092", "kafka: has no keys; known keys here: bootstrap_servers, client_id"),
        ("kafka: {bootstrap_servers: 'a:9092, b:9092'}", 'must be a list, such as ["a:9092", "b:9092"]'),
        ("kafka: {bootstrap_servers: ['a:9092,b:9092']}", "'a:9092,b:9092' is not host:port"),
        ("kafka: {bootstrap_servers: ['PLAINTEXT://a:9092']}", "'PLAINTEXT://a:9092' is not host:port"),
        ("alerts: {mute: [night]}", "alerts.mute.0: has no keys"),
        (
            "alerts: {time_intervals: [{name: a, time_intervals: [{times: [{start_time: on, end_time: '6:00'}]}]}]}",
            "times.0.start_time: 'on' is not a time of day",
        ),
        ("? [a, b]\n: 1", "is not valid YAML: line 1, column 3: a key must be a single word"),
        (
            "alerts:\n  not_before: 2026-02-30T00:00:00Z",
            "is not valid YAML: line 2, column 15: '2026-02-30T00:00:00Z': day is out of range for month",
        ),
        (
            "source: {kafka: {topics: [a, b], partitioning: repartition, repartition_topic: b}}",
            "source.kafka.repartition_topic: b is already used as source.kafka.topics; name another topic",
        ),
        ("source: {kafka: {group_instance_id: ''}}", "source.kafka.group_instance_id: is not a valid Kafka name"),
        ("dead_letter: {topic: metrics}", "dead_letter.topic: metrics is already used as source.kafka.topics"),
        ("sinks: {kafka: {topic: metrics}}", "sinks.kafka.topic: metrics is already used as source.kafka.topics"),
        ("dead_letter: {topic: alerts}", "dead_letter.topic: alerts is already used as sinks.kafka.topic"),
        (
            "state: {type: kafka, kafka: {topic: metrics}}",
            "state.kafka.topic: metrics is already used as",
        ),
        (
            "{source: {kafka: {partitioning: repartition, repartition_topic: alerts}}}",
            "sinks.kafka.topic: alerts is already used as source.kafka.repartition_topic",
        ),
        ("kafka: {client_id: a, client_id: b}", "the key 'client_id' appears twice"),
        ("scoring: {warmup_samples: 0100}", "YAML reads a number that begins with 0 as octal; remove the 0"),
        ("checkpoint: {interval_seconds: 1:30}", "interval_seconds: input should be a valid number"),
        ("checkpoint: {interval_seconds: 1:30.5}", "unable to parse string as a number (got '1:30.5')"),
        ("scoring: {warmup_samples: 1:30}", "unable to parse string as an integer (got '1:30')"),
        ("telemetry: {log_level: off}", "telemetry.log_level: input should be 'debug'"),
        ("telemetry: {log_level: off}", "(got 'off')"),
        ("kafka: {no: 3}", "kafka.no: unknown key"),
        ("alerts: {labels: {page: true}}", "alerts.labels.page: must be text: put it in quotes (got True)"),
        ("alerts: {labels: {zone: 7}}", "alerts.labels.zone: must be text: put it in quotes (got 7)"),
        ("alerts: {labels: {since: 2026-11-01}}", "alerts.labels.since: must be text: put it in quotes"),
        ("alerts: {not_before: !!timestamp x}", "line 1, column 22: 'x' does not match its tag"),
        ("scoring: {warmup_samples: !!int ''}", "line 1, column 27: '' does not match its tag"),
        ("alerts: {labels: {severity: page}}", "alerts.labels: 'severity' is set by detector on every alert"),
        ("alerts: {labels: {'': ops}}", "alerts.labels: '' is not a valid label name"),
        ("alerts: {labels: {' ': ops}}", "alerts.labels: '' is not a valid label name"),
        ('alerts: {labels: {"a\\nb": ops}}', "alerts.labels: 'a\\nb' is not a valid label name"),
        ("alerts: {labels: {__name__: ops}}", "'__name__' begins with two underscores"),
        ("alerts: {labels: {team: ''}}", "'team' has no value"),
        ("alerts: {labels: {metric: a, __x: b}}", "choose another name; '__x' begins with two underscores"),
        ("alerts: {annotations: {summary: a}}", "alerts.annotations: 'summary' is set by detector; choose another"),
        ("alerts: {annotations: {run-book: a}}", "'run-book' is not a valid annotation name"),
        ("alerts: {annotations: {link: 'http://a/{host}}'}}", "'link' has a brace that belongs to no {label}"),
        ("alerts: {annotations: {link: 'http://a/{}'}}", "'link' has a brace that belongs to no {label}"),
        ("alerts: {annotations: {link: ''}}", "'link' has no text; leave it out"),
        (f"alerts: {{annotations: {{{', '.join(f'a{n}: b' for n in range(11))}}}}}", "alerts.annotations: "),
        (
            "kafka: {sasl: {mechanism: PLAIN, username: u, password_env: P}}",
            "sasl without tls sends the password or token unencrypted",
        ),
        ("kafka: {sasl: {mechanism: PLAIN, username: u}}", "exactly one of password_file and password_env is needed"),
        (
            "kafka: {sasl: {mechanism: PLAIN, username: u, password_env: P, password_file: f}}",
            "exactly one of password_file and password_env is needed",
        ),
        ("kafka: {bootstrap_servers: ['b:0']}", "a broker cannot listen on port 0"),
        ("kafka: {bootstrap_servers: ['b:²']}", "'b:²' is not host:port"),
        ('telemetry: {listen: "a\\tb:9464"}', "is not host:port"),
        ("model: {weights: ''}", "model.weights: does not name a file; leave it out if there is none"),
        ("model: {weights: /}", "model.weights: does not name a file"),
        ("scoring: {alerts_per_stream_week: .nan}", "scoring.alerts_per_stream_week"),
        (
            "source: {kafka: {start: soon}}",
            "source.kafka.start: is not earliest, latest, or a time with its offset",
        ),
        ("sinks: {alertmanager: {enabled: true}}", "sinks.alertmanager: enabled, so urls must name an Alertmanager"),
        ("sinks: {alertmanager: {urls: [am:9093]}}", "sinks.alertmanager.urls: number 1 is neither http:// nor"),
        ("sinks: {alertmanager: {urls: ['http://a', 'http://']}}", "number 2 does not name a valid host"),
        ("sinks: {alertmanager: {urls: ['http://a:99999']}}", "number 1 is not a valid address (Port out of range"),
        ("sinks: {alertmanager: {urls: ['http://a', 'http://a/']}}", "lists an Alertmanager twice"),
        ("sinks: {alertmanager: {urls: ['http://a/api/v2/alerts']}}", "includes the path of the API"),
        ("sinks: {alertmanager: {urls: ['http://a/api/']}}", "includes the path of the API"),
        ("sinks: {alertmanager: {urls: ['http://a/?b']}}", "has a query"),
        ("sinks: {alertmanager: {username: a}}", "username and password_file go together"),
        (
            "sinks: {alertmanager: {urls: ['https://a'], bearer_token_file: t, username: a, password_file: b}}",
            "two ways to log in",
        ),
        ("source: {kafka: {start: 2026-11-01T00:00:00}}", "source.kafka.start: is not earliest, latest"),
    ],
)
def test_invalid_configuration_is_an_error_that_names_the_fault(text: str, finding: str) -> None:
    assert finding in "\n".join(findings(text))


def test_words_that_yaml_1_1_reads_as_booleans_stay_strings() -> None:
    labels = {"country": "NO", "on": "yes", "switch": "Off"}
    assert parse(f"alerts: {{labels: {labels}}}".replace("'", ""), "test").alerts.labels == labels
    for yes, no in (("yes", "no"), ("on", "off"), ("true", "false"), ("Yes", "OFF"), ("'true'", "'false'")):
        found = parse(f"sinks: {{stdout: {{enabled: {yes}}}, kafka: {{enabled: {no}}}}}", "test").sinks
        assert (found.stdout.enabled, found.kafka.enabled) == (True, False)


def test_annotations_name_labels() -> None:
    annotations = {"dashboard": "https://grafana.example/?host={host.name}&m={metric}", "note": "call {team}"}
    assert parse(f"alerts: {{annotations: {annotations}}}", "test").alerts.annotations == annotations


def test_labels_may_have_any_name() -> None:
    labels = {"team": "ops", "host.name": "a b", "Zuständig": "Müller", "9th": "-", "on call": "a"}
    assert parse(f"alerts: {{labels: {labels}}}", "test").alerts.labels == labels


TOPIC_KEYS = {
    "source.kafka.topics.0": "source: {kafka: {topics: [NAME]}}",
    "source.kafka.repartition_topic": "source: {kafka: {repartition_topic: NAME}}",
    "sinks.kafka.topic": "sinks: {kafka: {topic: NAME}}",
    "dead_letter.topic": "dead_letter: {topic: NAME}",
    "state.kafka.topic": "state: {kafka: {topic: NAME}}",
}


def test_every_key_that_names_a_topic_is_tested() -> None:
    assert {key.removesuffix(".0") for key in TOPIC_KEYS} == {key for key in keys() if "topic" in key.split(".")[-1]}


@pytest.mark.parametrize("key", TOPIC_KEYS)
@pytest.mark.parametrize(
    ("name", "finding"),
    [
        (".", "is not a valid Kafka name"),
        ("..", "is not a valid Kafka name"),
        ("", "is not a valid Kafka name"),
        ("a b", "is not a valid Kafka name"),
        ("café", "is not a valid Kafka name"),
        (250 * "a", "is not a valid Kafka name"),
        ("__consumer_offsets", "is one of Kafka's internal topics"),
        ("__transaction_state", "is one of Kafka's internal topics"),
    ],
)
def test_topic_name_that_kafka_rejects_or_reserves_is_an_error(key: str, name: str, finding: str) -> None:
    (found,) = findings(TOPIC_KEYS[key].replace("NAME", f"'{name}'"))
    assert found.startswith(f"{key}: {finding}")


@pytest.mark.parametrize("name", [249 * "a", "...", "__metrics", "a.B_c-9"])
@pytest.mark.parametrize("text", TOPIC_KEYS.values())
def test_other_topic_names_are_accepted(text: str, name: str) -> None:
    parse(text.replace("NAME", f"'{name}'"), "test.yaml")


def test_alertmanager_urls_may_have_a_path() -> None:
    urls = ["http://[::1]:9093", "https://example.com/alerts/", "http://alertmanager"]
    found = parse(f"sinks: {{alertmanager: {{urls: {urls}}}}}", "test").sinks.alertmanager.urls
    assert found == ["http://[::1]:9093", "https://example.com/alerts", "http://alertmanager"]


def test_s3_password_in_a_url_is_rejected_and_not_quoted() -> None:
    (finding,) = findings("sinks: {alertmanager: {urls: ['https://ali:opensesame@alertmanager:9093']}}")
    assert "contains credentials, which must be given by reference" in finding
    assert "opensesame" not in finding


@pytest.mark.parametrize("secret", ["bearer_token_file: t", "username: a, password_file: b"])
def test_s1_credentials_over_plain_http_need_explicit_permission(secret: str) -> None:
    addresses = "urls: ['https://a', 'http://b']"
    (finding,) = findings(f"sinks: {{alertmanager: {{{addresses}, {secret}}}}}")
    assert "credentials for an http:// address are sent unencrypted" in finding
    parse(f"sinks: {{alertmanager: {{{addresses}, {secret}, allow_plaintext_credentials: true}}}}", "test")


def test_yaml_merge_keys_may_be_overridden() -> None:
    text = """
    alerts:
      time_intervals:
        - {name: nights, time_intervals: [&night {times: [{start_time: "00:00", end_time: "06:00"}]}]}
        - {name: monday nights, time_intervals: [{<<: *night, weekdays: [monday]}]}
    checkpoint: {<<: {interval_seconds: 3.0, shutdown_timeout_seconds: 9.0}, interval_seconds: 4.0}
    """
    found = parse(text, "test.yaml")
    first, second = (one.time_intervals[0] for one in found.alerts.time_intervals)
    assert first.times == second.times
    assert first.weekdays != second.weekdays
    assert (found.checkpoint.interval_seconds, found.checkpoint.shutdown_timeout_seconds) == (4.0, 9.0)


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_too_deep_nesting_is_an_error(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}"}[opening]
    assert findings(f"a: {5_000 * opening}1{5_000 * closing}") == ["is nested too deeply"]


def test_g17_every_key_of_a_wrong_type_is_reported() -> None:
    for key in keys():
        value: object = {"unknown": 1}
        for part in reversed(key.split(".")):
            value = {part: value}
        assert any(finding.startswith(key) for finding in findings(yaml.safe_dump(value))), key


def test_missing_file_and_binary_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path / "x.yaml")


def test_empty_file_gives_the_defaults() -> None:
    assert parse("", "test.yaml") == Config()


def test_environment_variable_sets_the_group_instance_id(tmp_path: Path) -> None:
    assert load(None, {}).source.kafka.group_instance_id is None
    assert load(None, {"DETECTOR_GROUP_INSTANCE_ID": "pod-3"}).source.kafka.group_instance_id == "pod-3"
    with pytest.raises(ConfigError, match=r"DETECTOR_GROUP_INSTANCE_ID: 1 error\n  group_instance_id: .*pod 3"):
        load(None, {"DETECTOR_GROUP_INSTANCE_ID": "pod 3"})
