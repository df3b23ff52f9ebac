"""JSON against the schemas of docs/."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

_DOCS = Path(__file__).parents[1] / "docs"


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """For `docs/NAME.schema.json`, formats included.

    The package is imported here because it builds dozens of grammars, which would cost every process of a test run
    seconds before its first test.
    """
    import jsonschema

    schema = json.loads((_DOCS / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
