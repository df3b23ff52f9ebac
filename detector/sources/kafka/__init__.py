"""Reads Kafka topics: as a member of a consumer group (`source.py`), or a range of one topic once (`range.py`)."""

from detector.sources.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
