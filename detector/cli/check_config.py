"""`detector check-config`: reports all errors in a configuration at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from detector.cli.application import ConfigOption, MisplacedConfig, WithoutArguments, app
from detector.errors import ConfigError

if TYPE_CHECKING:
    from detector.config import Config


@app.command("check-config", cls=WithoutArguments)
def check_config(misplaced: MisplacedConfig = None, config: ConfigOption = None) -> None:
    """Report every error in a configuration and its files. Connects to nothing.

    Files missing on this machine are listed but are not errors: the configuration may be meant for another one.
    """
    from detector.config import load
    from detector.config.files import unreadable

    loaded = load(config)
    where = str(config or "the defaults")
    missing = unreadable(loaded)
    for line in missing:
        typer.echo(f"{where}: missing on this machine, or unreadable to this user: {line}", err=True)
    reported = {_key(line) for line in missing}
    if wrong := [line for line in _wrong_files(loaded) if _key(line) not in reported]:
        raise ConfigError(where, wrong)
    typer.echo(f"{where}: ok")


def _wrong_files(config: Config) -> list[str]:
    """What is wrong with the files of addresses, secrets, tokens, certificates and schemas, one line per problem."""
    found = []
    if _to_kafka(config):
        from detector.kafka import files

        found += files.problems(config.kafka)
    if config.sinks.webhook.enabled:
        from detector.sinks import webhook_http

        found += webhook_http.problems(config.sinks.webhook)
    if config.sinks.alertmanager.enabled:
        from detector.sinks import alertmanager_http

        found += alertmanager_http.problems(config.sinks.alertmanager)
    if config.decoder.type == "avro":
        from detector.decoders import avro

        found += avro.problems(config.decoder.avro)
    if config.telemetry.web_config_file is not None:
        from detector.telemetry import web

        lines = web.problems(config.telemetry.web_config_file)
        found += [f"telemetry.web_config_file: {config.telemetry.web_config_file}: {line}" for line in lines]
    return found


def _to_kafka(config: Config) -> bool:
    """Whether a worker connects to brokers."""
    return config.source.type == "kafka" or config.sinks.kafka.enabled or config.dead_letter.topic is not None


def _key(line: str) -> str:
    return line.partition(": ")[0]
