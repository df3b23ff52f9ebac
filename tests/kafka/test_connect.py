"""The log while a client waits for a connection."""

from __future__ import annotations

import logging

import pytest

from detector.config.schema import Kafka
from detector.errors import BrokerUnreachable
from detector.kafka.admin import KafkaAdmin

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
