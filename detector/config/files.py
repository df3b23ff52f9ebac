"""Finds the files that a configuration names but this machine cannot read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from detector.config.avro import AvroDecoder
from detector.config.schema import Config
from detector.config.values import STDIN

_SECRETS = ("bearer_token_file", "password_file", "ca_file")
_OF_TOKENS = ("token_file", "client_secret_file", "ca_file")


def unreadable(config: Config) -> list[str]:
    """One line per file or environment variable that a worker started here, as this user, could not read."""
    lines = [f"{key}: {path}: {problem}" for key, path in _named(config) if (problem := _problem(path))]
    variable = config.kafka.sasl.password_env
    if variable is not None and variable not in os.environ:
        lines.append(f"kafka.sasl.password_env: the environment variable {variable} is not set")
    return lines


def _named(config: Config) -> Iterator[tuple[str, Path]]:
    tls, weights = config.kafka.tls, config.model.weights
    sasl = config.kafka.sasl
    named: list[tuple[str, str | None]] = [("kafka.sasl.password_file", sasl.password_file)]
    if sasl.mechanism == "OAUTHBEARER":
        named += [(f"kafka.sasl.oauth.{key}", getattr(sasl.oauth, key)) for key in _OF_TOKENS]
    if tls.enabled:
        named += [(f"kafka.tls.{key}", getattr(tls, key)) for key in ("ca_file", "certificate_file", "key_file")]
    if weights is not None:
        named += [("model.weights", weights), ("model.weights, its card", str(Path(weights).with_suffix(".json")))]
    named.append(("telemetry.web_config_file", config.telemetry.web_config_file))
    webhook, board = config.sinks.webhook, config.sinks.alertmanager
    if webhook.enabled:
        named += [(f"sinks.webhook.{key}", getattr(webhook, key)) for key in ("url_file", *_SECRETS)]
    if board.enabled:
        named += [(f"sinks.alertmanager.{key}", getattr(board, key)) for key in _SECRETS]
    if config.decoder.type == "avro":
        named += _of_avro(config.decoder.avro)
    if config.source.type == "file":
        named += [("source.file.paths", path) for path in config.source.file.paths if path != STDIN]
    yield from ((key, Path(path)) for key, path in named if path is not None)


def _of_avro(avro: AvroDecoder) -> Iterator[tuple[str, str | None]]:
    yield from ((f"decoder.avro.registry.{key}", getattr(avro.registry, key)) for key in _SECRETS)
    yield from ((f"decoder.avro.schemas.{number}", path) for number, path in avro.schemas.items())
    yield "decoder.avro.schema_file", avro.schema_file


def _problem(path: Path) -> str | None:
    if not path.exists():
        return "no such file"
    return None if os.access(path, os.R_OK) else "not readable by this user"
