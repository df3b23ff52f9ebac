"""Sources: where records come from. Each is imported only when it is asked for, with the client library it needs."""

import time
from collections.abc import Callable

from detector.config import Config
from detector.protocols import PausableSource, Source


def kafka_source(config: Config) -> PausableSource:
    """The source for `source.type: kafka`; routers read it, too."""
    from detector.sources.kafka import KafkaSource

    return KafkaSource(config.kafka, config.source.kafka, config.watchdog.partition_seconds)


def _file(config: Config) -> Source:
    from detector.sources.file import SUFFIXES, FileSource

    section = config.source.file
    return FileSource(section.paths, time, suffixes=SUFFIXES[config.decoder.type], follow=section.follow)


def _host(config: Config) -> Source:
    from detector.sources.host import HostSource

    return HostSource(config.source.host.interval_seconds, time)


SOURCES: dict[str, Callable[[Config], Source]] = {"kafka": kafka_source, "file": _file, "host": _host}
"""`source.type` -> its maker."""
