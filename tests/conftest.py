"""What every test may use."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.kafka.plugin"]

# How long an example takes says more about the machine's other work than about the code.
settings.register_profile("detector", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("detector")
