"""What every test may use."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka.plugin"]

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("detector", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("detector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test begins first: of several processes one would be at it alone in the end."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")
