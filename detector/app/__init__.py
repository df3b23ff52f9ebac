"""Wiring: builds a pipeline, a worker, and the process around workers from a configuration."""

from detector.app.pipeline import build_pipeline
from detector.app.process import run
from detector.app.worker import build_worker

__all__ = ["build_pipeline", "build_worker", "run"]
