"""Configuration: `config.yaml` read, checked as a whole, and handed out section by section."""

from detector.config.load import checked, load, parse
from detector.config.schema import Config

__all__ = ["Config", "checked", "load", "parse"]
