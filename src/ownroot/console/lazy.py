"""Command groups that import a command only when it runs, so that `--help` answers at once."""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click


class LazyCommand(NamedTuple):
    """Where a command lives (`package.module:attribute`) and what the group's help says about it."""

    target: str
    summary: str


class OrderedGroup(click.Group):
    """A group that lists its commands in the order they were made: the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, unsorted."""
        return list(self.commands)


class LazyGroup(OrderedGroup):
    """A group that knows its commands by name and summary alone."""

    def __init__(self, *, lazy: Mapping[str, LazyCommand], name: str | None = None, **attributes: object) -> None:
        super().__init__(name, **attributes)  # type: ignore[arg-type]
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names: first those not imported yet."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that is about to run."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].target.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._lazy[cmd_name].target} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their summaries, importing none."""
        rows = [(name, command.summary) for name, command in self._lazy.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
