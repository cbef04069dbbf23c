"""Progress of long work, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import click

from ownroot.console.output import console

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told the name of a step, how much of it is done, and of how much."""


@contextmanager
def progress_bar(*, as_json: bool) -> Iterator[Progress]:
    """Draw a bar on a terminal; elsewhere print a plain line at each tenth of a step, with JSON nothing."""
    screen = console(stderr=True)
    if as_json or not screen.is_terminal:
        yield _silent if as_json else _plain_line
        return
    from rich import progress
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress.Progress(*columns, console=screen) as bars:
        steps: dict[str, TaskID] = {}

        def advance(step: str, done: int, total: int) -> None:
            if step not in steps:
                steps[step] = bars.add_task(step, total=total)
            bars.update(steps[step], completed=done)

        yield advance


def _plain_line(step: str, done: int, total: int) -> None:
    if done == total or done % max(1, total // 10) == 0:
        click.echo(f"{step}: {done} of {total}", err=True)


def _silent(_step: str, _done: int, _total: int) -> None:
    pass
