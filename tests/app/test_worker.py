"""What the parts of a worker have in common, as the wiring builds them."""

from contextlib import ExitStack

from detector.app import build_worker
from detector.config import Config
from detector.models.forecaster import Forecaster
from detector.testing import ListSource

LEARNING = Config.model_validate(
    {
        "learning": {"mode": "continual"},
        "sinks": {"kafka": {"enabled": False}},
        "telemetry": {"listen": "127.0.0.1:0"},
    }
)


def test_learning_starts_from_the_very_weights_that_streams_are_forecast_with() -> None:
    """If their file were read once for each, it could be replaced in between."""
    with ExitStack() as stack:
        worker = build_worker(LEARNING, stack, ListSource([], frozenset()))
        assert isinstance(worker.pipeline.forecaster, Forecaster)
        assert worker.learning is not None
        assert worker.learning.versions.base is worker.pipeline.forecaster.weights
