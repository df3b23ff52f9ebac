"""Configuration: `config.yaml` read, checked as a whole, and handed out section by section."""

from detector.config.load import load, parse
from detector.config.schema import Config

__all__ = ["Config", "load", "parse"]
