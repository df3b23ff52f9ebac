"""All commands, one module each. They import what they need only when they run, which keeps `--help` fast."""

from detector.cli import admin, backtest, check_config, demo, inspect, produce, replay, run, state, train
from detector.cli.application import app, main

__all__ = [
    "admin",
    "app",
    "backtest",
    "check_config",
    "demo",
    "inspect",
    "main",
    "produce",
    "replay",
    "run",
    "state",
    "train",
]
