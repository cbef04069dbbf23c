"""What programs print: results on stdout, everything else on stderr, JSON when asked.

Colours and drawings are for terminals. A pipe or a file gets plain lines, and `NO_COLOR` (https://no-color.org) is
honoured everywhere. rich is imported only when something is drawn.
"""

import os
import sys
from typing import TYPE_CHECKING

import click

from ownroot.console.errors import DeclinedError
from ownroot.console.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# A pipe has no width: one line stays one line, however long.
_PLAIN_WIDTH = 10_000


class Output:
    """Prints the result of one command.

    Args:
        as_json: print one JSON document and nothing else on stdout; notes are left out.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, document: object) -> None:
        """Print the result as JSON: indented for a terminal, one line for a program."""
        import msgspec  # noqa: PLC0415

        encoded = msgspec.json.encode(document)
        text = msgspec.json.format(encoded, indent=2) if sys.stdout.isatty() else encoded
        click.echo(text.decode())

    def line(self, text: str = "") -> None:
        """Print a line of the result for people."""
        if not self.as_json:
            click.echo(printable(text))

    def note(self, text: str) -> None:
        """Tell on stderr what is going on; not part of the result."""
        if not self.as_json:
            click.echo(printable(text), err=True)

    def draw(self, drawing: "RenderableType") -> None:
        """Draw a table or tree on stdout."""
        console().print(drawing, soft_wrap=not sys.stdout.isatty())

    def warn(self, text: str) -> None:
        """Tell on stderr what someone should look after, also when the result is JSON."""
        click.echo(f"Warning: {printable(text)}", err=True)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is at a terminal to answer."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str, *, assume_yes: bool) -> None:
        """Ask before something that costs.

        Raises:
            DeclinedError: `declined`; `cannot-ask` when nobody is at a terminal.
        """
        if assume_yes:
            return
        if not self.can_ask:
            raise DeclinedError("cannot-ask", f"{question} Nobody is at a terminal to answer.")
        if not click.confirm(printable(question), err=True):
            raise DeclinedError("declined", "You said no.")


def console(*, stderr: bool = False) -> "Console":
    """Make a rich console: as wide as the terminal, or wide and plain where there is none."""
    from rich.console import Console  # noqa: PLC0415

    stream = sys.stderr if stderr else sys.stdout
    on_terminal = stream.isatty()
    return Console(
        stderr=stderr,
        highlight=False,
        no_color=bool(os.environ.get("NO_COLOR")) or not on_terminal,
        force_terminal=None if on_terminal else False,
        width=None if on_terminal else _PLAIN_WIDTH,
        emoji=False,
        markup=False,
    )
