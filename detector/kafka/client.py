"""What source, sinks and state store share about the Kafka client: its options, and its errors as ours."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from detector.config.sasl import Sasl
from detector.config.schema import Kafka, Tls
from detector.errors import AccessDenied, BrokerUnreachable, SourceError
from detector.kafka.oauth import TokenDelayed, TokenRefused, tokens

_RECONNECT_BACKOFF_MAX_MS = 2_000
_METADATA_MAX_AGE_MS = 60_000
_IDLE_CONNECTION_MS = 540_000
_ATTEMPT_SECONDS = 1.0

ATTEMPT_LINES = (
    "Connection failed: %s",
    "Bootstrap connection to %s failed: %s (backoff %.2f secs)",
    "Bootstrap %s not ready; waiting %.2f secs",
)
"""What the library logs for every attempt to connect, besides the line on which connection was lost and why."""

log = logging.getLogger(__name__)
"""A standard library logger: in commands that set up no logging, it writes to standard error."""


def milliseconds(seconds: float) -> int:
    """Seconds as whole milliseconds, at least 1, for Kafka's options."""
    return max(1, round(seconds * 1_000))


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments common to consumer and producer. Holds the password: never log it."""
    request_timeout_ms = milliseconds(kafka.request_timeout_seconds)
    return {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "client_id": kafka.client_id,
        "request_timeout_ms": request_timeout_ms,
        "bootstrap_timeout_ms": request_timeout_ms,
        "connections_max_idle_ms": max(_IDLE_CONNECTION_MS, request_timeout_ms + 1),
        # By default, the library may wait half a minute before it retries a broker that has come back.
        "reconnect_backoff_max_ms": _RECONNECT_BACKOFF_MAX_MS,
        # Find new partitions and leaders within a minute.
        "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
        # A misspelled topic is an error, not a new topic.
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        **_security(kafka.tls, kafka.sasl),
    }


def _security(tls: Tls, sasl: Sasl) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if tls.enabled:
        options = {
            "ssl_check_hostname": True,
            "ssl_cafile": tls.ca_file,
            "ssl_certfile": tls.certificate_file,
            "ssl_keyfile": tls.key_file,
        }
    if sasl.mechanism == "OAUTHBEARER":
        options |= {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": tokens(sasl.oauth)}
    elif sasl.mechanism:
        options |= {
            "sasl_mechanism": sasl.mechanism,
            "sasl_plain_username": sasl.username,
            "sasl_plain_password": _password(sasl),
        }
    protocol = "SASL_" if sasl.mechanism else ""
    return {"security_protocol": protocol + ("SSL" if tls.enabled else "PLAINTEXT"), **options}


def _password(sasl: Sasl) -> str:
    if sasl.password_file is not None:
        try:
            return Path(sasl.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise AccessDenied(f"kafka.sasl.password_file: {sasl.password_file} cannot be read: {exc}") from exc
    name = sasl.password_env or ""
    password = os.environ.get(name)
    if password is None:
        raise AccessDenied(f"kafka.sasl.password_env: the environment variable {name} is not set")
    return password


def connect(
    factory: Callable[..., Any],
    options: dict[str, Any],
    doing: str,
    kafka: Kafka,
    end: Callable[[Any], None] = lambda client: client.close(),
) -> Any:
    """The client that `factory` makes with `options`. Raises a SourceError that says why it cannot start.

    `end` ends it if it can start, but the brokers send it to addresses that do not answer.

    The library reports every failed start, even a refused password, as the same timeout; only its log says what really
    happened. It also leaves the connections of a failed start open.
    """
    opened: list[Any] = []

    def open_connections(**settings: Any) -> Any:
        # Otherwise it warns of slow coroutines, for instance whenever a token is requested or the machine is busy.
        opened.append(KafkaNetClient(**settings, slow_task_threshold_secs=0))
        _back_off_until_connected(opened[-1]._manager)
        return opened[-1]

    with _LostConnections(doing, kafka) as lost:
        try:
            client = factory(**options, kafka_client=open_connections)
        except (kafka_errors.KafkaError, OSError) as exc:
            for connections in opened:
                connections.close()
            raise _failed_start(exc, lost.errors, doing, kafka) from exc
        try:
            _require_advertised(opened[-1]._manager, doing, kafka)
        except BaseException:
            end(client)
            raise
        return client


def _require_advertised(connections: Any, doing: str, kafka: Kafka) -> None:
    """Wait for an answer from an address that the brokers advertise: only the first request goes to a configured one.

    Raises BrokerUnreachable or AccessDenied.
    """
    deadline = time.monotonic() + kafka.request_timeout_seconds
    cause: Exception | None = None
    while (left := deadline - time.monotonic()) > 0:
        answered = threading.Event()
        answer = connections.cluster.request_update()
        answer.add_both(lambda _, answered=answered: answered.set())  # on the client's own thread
        if not answered.wait(left):
            break
        if answer.succeeded():
            return
        cause = answer.exception
        if isinstance(cause, _AUTHENTICATION):
            raise translate(cause, doing, kafka) from cause
    told = ", ".join(sorted(f"{broker.host}:{broker.port}" for broker in connections.cluster.brokers()))
    raise BrokerUnreachable(
        f"{doing}: {', '.join(kafka.bootstrap_servers)} answered, but sends clients to {told}, where no broker answers"
        f"{f' ({cause})' if cause else ''}; check the brokers' advertised.listeners, and that this machine reaches them"
    ) from cause


def _back_off_until_connected(connections: Any) -> None:
    """Count as a failure each connection that was accepted but lost before it could be used.

    The library counts it as a success, and so retries a hundred times a second if a proxy accepts and hangs up.
    """
    forget_failures = connections.reset_backoff

    def reset_backoff(node: Any) -> None:
        made = connections._conns.get(node)
        if made is not None and made.connected:
            forget_failures(node)
        else:
            connections.update_backoff(node)

    connections.reset_backoff = reset_backoff


def _failed_start(error: Exception, errors: list[Exception], doing: str, kafka: Kafka) -> SourceError:
    where = ", ".join(kafka.bootstrap_servers)
    refused = next((lost for lost in errors if isinstance(lost, _AUTHENTICATION)), None)
    if refused is not None:
        return translate(refused, doing, kafka)
    # Our own deadline cuts off the last attempt, which says nothing about the broker.
    causes = [lost for lost in errors if not isinstance(lost, kafka_errors.RequestTimedOutError)] or errors
    if causes and isinstance(causes[-1], TokenDelayed):
        return translate(causes[-1], doing, kafka)
    cause = str(causes[-1]) if causes else ""
    if isinstance(error, OSError):  # covers ssl.SSLError and a missing file
        return AccessDenied(f"{doing}: the files named in kafka.tls cannot be used ({error})")
    if not isinstance(error, kafka_errors.KafkaTimeoutError):
        return translate(error, doing, kafka)
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return AccessDenied(f"{doing}: {where}: certificate rejected ({cause}); check kafka.tls.ca_file and host name")
    hung_up = "socket disconnected" in cause
    if kafka.sasl.mechanism and hung_up:
        keys = "oauth" if kafka.sasl.mechanism == "OAUTHBEARER" else "username and password"
        return AccessDenied(
            f"{doing}: {where} hung up during the authentication of {kafka.sasl.username or 'this client'} by "
            f"{kafka.sasl.mechanism}; check kafka.sasl.mechanism, {keys}"
        )
    hint = ""
    if "Handshake failed" in cause:
        hint = " It may not use TLS (kafka.tls) there, or may expect a client certificate (kafka.tls.certificate_file)."
    elif hung_up:
        hint = " It may expect kafka.tls or kafka.sasl."
    return BrokerUnreachable(
        f"{doing}: no broker at {where} answers ({cause or error}); "
        f"check kafka.bootstrap_servers and that a broker listens there.{hint}"
    )


def log_bounds(consumer: Any, end: str, partitions: Collection[Any], timeout_seconds: float) -> dict[Any, int]:
    """The `earliest` or `latest` offsets of the logs. Raises the library's errors.

    The library keeps asking the leader it knows, and learns of a new one only when its metadata are due, up to a minute
    later. So ask for a second at a time, and request a metadata update in between.
    """
    ask = consumer.beginning_offsets if end == "earliest" else consumer.end_offsets
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        try:
            found: dict[Any, int] = ask(list(partitions), timeout_ms=milliseconds(min(left, _ATTEMPT_SECONDS)))
        except kafka_errors.KafkaTimeoutError:
            consumer._cluster.request_update()  # `topics()` would wait for the answer, indefinitely
            if left <= _ATTEMPT_SECONDS:
                raise
        else:
            return found


class _LostConnections(logging.Handler):
    """Collects from the library's log why connections were lost, and logs the first one at once."""

    def __init__(self, doing: str, kafka: Kafka) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[Exception] = []
        self._doing = doing
        self._kafka = kafka

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "kafka.net.connection" or not isinstance(record.args, tuple):
            return
        lost = [argument for argument in record.args if isinstance(argument, Exception)]
        if lost and not self.errors:
            where, limit = ", ".join(self._kafka.bootstrap_servers), self._kafka.request_timeout_seconds
            log.warning("%s: no connection to %s yet (%s); trying for up to %g s", self._doing, where, lost[0], limit)
        self.errors += lost

    def __enter__(self) -> Self:
        logging.getLogger("kafka").addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("kafka").removeHandler(self)


def translate(error: Exception, doing: str, kafka: Kafka) -> SourceError:
    """Turn the library's `error` into one of ours: what failed, where, and how to fix it."""
    where = ", ".join(kafka.bootstrap_servers)
    name, text = type(error).__name__, str(error)
    detail = text if name in text else f"{name}: {text}" if text else name
    if isinstance(error, TokenDelayed | TokenRefused):
        kind = BrokerUnreachable if isinstance(error, TokenDelayed) else AccessDenied
        return kind(f"{doing}: {where}: no token to log in with: {error.args[0]}")
    if isinstance(error, kafka_errors.IllegalSaslStateError):
        return AccessDenied(
            f"{doing}: {where} has no login on that port ({detail}); remove kafka.sasl, or use the brokers' SASL port"
        )
    if isinstance(error, _AUTHENTICATION):
        return AccessDenied(
            f"{doing}: {where} refused the credentials of {kafka.sasl.username or 'this client'} ({detail}); "
            "check kafka.sasl and kafka.tls"
        )
    if isinstance(error, kafka_errors.AuthorizationError):
        return AccessDenied(
            f"{doing}: {where} does not authorize {kafka.sasl.username or 'an anonymous client'} ({detail}); "
            "grant READ and DESCRIBE on the topics read, READ on the group, WRITE and DESCRIBE on the topics written"
        )
    if isinstance(error, kafka_errors.InvalidSessionTimeoutError):
        return SourceError(
            f"{doing}: {where} does not accept source.kafka.session_timeout_seconds; it must be between the brokers' "
            "group.min.session.timeout.ms and group.max.session.timeout.ms, by default 6 s and 30 min"
        )
    if isinstance(error, kafka_errors.RetriableError | OSError):
        return BrokerUnreachable(f"{doing}: no answer from {where} ({detail}); check that its brokers are up")
    return SourceError(f"{doing}: {where} answered with {detail}")


_AUTHENTICATION = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)
