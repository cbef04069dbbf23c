"""Switches with a value, `--online-ca=false` beside `--no-online-ca`, as other clients of this protocol spell it; and
switches of which one rules the other out."""

from collections.abc import Mapping

import click

_SPELLINGS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


class SwitchCommand(click.Command):
    """A command whose on/off switches also take `=true` and `=false`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite the switches with a value, then parse as usual."""
        return super().parse_args(ctx, [self._plain(arg) for arg in args])

    def _plain(self, arg: str) -> str:
        name, found, value = arg.partition("=")
        for option in self.params:
            if found and isinstance(option, click.Option) and option.secondary_opts and name in option.opts:
                if value.lower() not in _SPELLINGS:
                    raise click.BadOptionUsage(name, f"Option '{name}' takes true or false, not '{value}'.")
                return (option.opts if _SPELLINGS[value.lower()] else option.secondary_opts)[0]
        return arg


def at_most_one(switches: Mapping[str, bool]) -> str | None:
    """Return the one switch that is on; None: none is.

    Raises:
        click.UsageError: more than one is. That the last one wins would be a guess at what was meant.
    """
    given = [name for name, is_on in switches.items() if is_on]
    if len(given) > 1:
        raise click.UsageError(f"Give {' or '.join(given)}, only one of them.")
    return given[0] if given else None
