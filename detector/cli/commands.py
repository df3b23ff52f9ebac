"""The command line with its commands, a module each. They import what they need when they run: `--help` is quick."""

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
