"""The worker: the loop, where what it found goes, and how its state becomes durable."""

from detector.worker.worker import Worker

__all__ = ["Worker"]
