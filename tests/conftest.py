"""What every test may use."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka.plugin"]

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("detector", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("detector")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test begins first: of several processes one would be at it alone in the end."""
    items.sort(key=lambda item: item.path.name != "test_soak.py")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in the learning process: threads of small networks wait for each other, on a busy machine for long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
