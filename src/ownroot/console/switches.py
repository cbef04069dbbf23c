"""Switches with a value: `--online-ca=false` beside `--no-online-ca`, as other clients of this protocol spell it."""

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
