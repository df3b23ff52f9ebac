"""Progress bars on standard error, or nothing if that is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


@contextmanager
def byte_progress(what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar over bytes; yields the function that advances it."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda advance: progress.update(task, advance=advance)


@contextmanager
def phase_progress() -> Iterator[Callable[[str, int, int, str], None]]:
    """A bar, with a figure beside it, for each of several alternating phases; finished bars disappear.

    Yields a function of (phase, done, total, figure).
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figure]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(phase: str, done: int, total: int, figure: str) -> None:
            if phase not in tasks:
                tasks[phase] = progress.add_task(phase, total=total, figure=figure)
            progress.update(tasks[phase], completed=done, total=total, figure=figure)
            if done >= total:
                progress.remove_task(tasks.pop(phase))

        yield advance


@contextmanager
def count_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over a count; yields the function that advances it."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda advance: progress.update(task, advance=advance)
