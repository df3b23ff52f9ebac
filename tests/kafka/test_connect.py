"""The log while a client waits for a connection, and the library's errors in our words."""

from __future__ import annotations

import logging

import pytest
from kafka import errors as kafka_errors

from detector.config.schema import Kafka
from detector.errors import BrokerUnreachable
from detector.kafka.admin import KafkaAdmin
from detector.kafka.client import translate

NOBODY = "127.0.0.1:9"


def test_first_failed_attempt_is_logged_at_once_and_once(caplog: pytest.LogCaptureFixture) -> None:
    kafka = Kafka.model_validate({"bootstrap_servers": [NOBODY], "request_timeout_seconds": 1.5})
    with pytest.raises(BrokerUnreachable) as caught:
        KafkaAdmin(kafka, "admin init")
    lines = [record for record in caplog.records if record.name == "detector.kafka.client"]
    (line,) = lines
    assert line.levelno == logging.WARNING
    assert line.getMessage().startswith(f"admin init: no connection to {NOBODY} yet (")
    assert line.getMessage().endswith("; trying for up to 1.5 s")
    assert f"no broker at {NOBODY} answers" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (kafka_errors.KafkaTimeoutError("no offsets"), "(KafkaTimeoutError: no offsets)"),
        (kafka_errors.KafkaConnectionError(), "(KafkaConnectionError)"),
        (ConnectionResetError("by peer"), "(ConnectionResetError: by peer)"),
        (OSError(), "(OSError)"),
    ],
)
def test_error_of_the_library_is_named_once(error: Exception, detail: str) -> None:
    told = translate(error, "reading", Kafka(bootstrap_servers=["broker:9092"]))
    assert str(told) == f"reading: no answer from broker:9092 {detail}; check that its brokers are up"
