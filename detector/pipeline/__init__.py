"""The pure core, from samples to alerts. No clock, no Kafka, no files, no metrics server."""

from detector.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
