"""The worker: the loop, the delivery of what it found, and how its state becomes durable."""

from detector.worker.worker import Worker

__all__ = ["Worker"]
