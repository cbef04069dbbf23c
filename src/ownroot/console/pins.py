"""Asking for the PIN of a token, once nothing else has said it."""

import sys

import click

from ownroot.errors import KeyStoreError


def ask_pin(token_label: str, *, variable: str, pin: str = "PIN", article: str = "its") -> str:
    """Ask at a terminal; what is typed is not shown.

    Args:
        variable: of the environment, named where nobody can be asked.
        pin: which of the token's PINs, for a person.
    Raises:
        KeyStoreError: `pin-missing`: nobody is at a terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise KeyStoreError(
            "pin-missing",
            f"The token {token_label!r} wants {article} {pin}, and nobody is at a terminal to type it. Set {variable}.",
        )
    typed: str = click.prompt(f"{pin} of the token {token_label}", hide_input=True, err=True)
    return typed
