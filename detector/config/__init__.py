"""Configuration: reads `config.yaml`, checks it as a whole, and hands it out section by section."""

from detector.config.load import checked, load, parse
from detector.config.schema import Config

__all__ = ["Config", "checked", "load", "parse"]
