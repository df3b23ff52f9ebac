"""Work in steps that take a moment each: between two of them its caller does something else, or gives it up."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""To be run to its end, which has the result, or given up with `close`."""


def complete(steps: Steps[Result]) -> Result:
    """All steps, one after the other.

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
