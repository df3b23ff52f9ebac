"""Work in short steps: between two of them, the caller can do something else, or give the work up."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Run it to its end, which returns the result, or give it up with `close`."""


def complete(steps: Steps[Result]) -> Result:
    """Run all steps and return the result.

    >>> def count():
    ...     yield
    ...     return 3
    >>> complete(count())
    3
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
