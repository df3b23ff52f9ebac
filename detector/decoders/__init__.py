"""Decoders: bytes of records to columns of samples."""

from collections.abc import Callable

from detector.config.schema import Decoder as Settings
from detector.decoders.csv import CsvDecoder
from detector.decoders.json import JsonDecoder
from detector.protocols import Decoder

Factory = Callable[[Settings], Decoder]

DECODERS: dict[str, Factory] = {
    "json": lambda settings: JsonDecoder(settings.json_),
    "csv": lambda settings: CsvDecoder(),
}
"""`decoder.type` -> its maker."""

__all__ = ["DECODERS", "CsvDecoder", "JsonDecoder"]
