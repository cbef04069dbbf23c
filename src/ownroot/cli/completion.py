"""`ownroot completion`: the program completes itself in the shell."""

from ownroot.cli.main import PROGRAM
from ownroot.console.completion import completion_command

completion = completion_command(PROGRAM)
