"""Checks the files that a connection to the brokers needs, before anything connects."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from detector.config.sasl import Sasl
from detector.config.schema import Kafka, Tls


def problems(kafka: Kafka) -> list[str]:
    """One line per problem; empty if certificates, password and token are valid as far as files alone can tell."""
    return [*(_of_tls(kafka.tls) if kafka.tls.enabled else ()), *_of_sasl(kafka.sasl)]


def _of_tls(tls: Tls) -> Iterator[str]:
    context = ssl.create_default_context()
    if (ca_file := tls.ca_file) is not None and (problem := _failed(lambda: context.load_verify_locations(ca_file))):
        yield f"kafka.tls.ca_file: {ca_file} cannot be used: {problem}; it must hold certificates (PEM)"
    certificate, key = tls.certificate_file, tls.key_file
    if certificate is None or (key is not None and not Path(key).exists()):
        return
    # For an encrypted key, ssl would prompt on the terminal; the worker has no way to get a passphrase.
    problem = _failed(lambda: context.load_cert_chain(certificate, key, password=lambda: ""))
    if problem:
        yield (
            f"kafka.tls.certificate_file: {certificate} cannot be used with {key or 'a key inside it'}: {problem}; it "
            "must hold a certificate, and key_file its key without a passphrase (PEM)"
        )


def _failed(load: Callable[[], object]) -> str | None:
    try:
        load()
    except (OSError, ValueError) as exc:  # ssl.SSLError is an OSError
        return str(exc)
    return None


def _of_sasl(sasl: Sasl) -> Iterator[str]:
    if sasl.mechanism == "OAUTHBEARER":
        from detector.kafka import oauth  # imports the client library

        yield from oauth.problems(sasl.oauth)
    elif sasl.mechanism and sasl.password_file is not None:
        try:
            if not Path(sasl.password_file).read_text(encoding="utf-8").rstrip("\r\n"):
                yield f"kafka.sasl.password_file: {sasl.password_file} is empty; write the password into it"
        except (OSError, UnicodeDecodeError) as exc:
            yield f"kafka.sasl.password_file: {sasl.password_file} cannot be read: {exc}"
