"""Options for a device whose key is on a token, and the place they amount to (protocol: registration.md §7.3)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from ownroot.console.pins import ask_pin
from ownroot.device.key_places import FileKeyPlace, KeyPlace, TokenAccess, TokenKeyPlace
from ownroot.keystore.labels import DEVICE_HSM_LABEL, HSM_PIN_VARIABLE, HSM_SO_PIN_VARIABLE

Command = TypeVar("Command", bound=Callable[..., object])


def token_options(command: Command) -> Command:
    """Give a command the options `hsm_module`, `hsm_so_pin` and `hsm_pin`; see `chosen_token`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_token(module: Path | None, so_pin: str | None, pin: str | None) -> TokenAccess | None:
    """Complete the options, asking for PINs last; None: the key is in a file.

    Raises:
        UsageError: a PIN without a module, which could leave a key in a file that belongs on a token.
        KeyStoreError: `pin-missing`.
    """
    if module is None:
        for name, value in (("so-pin", so_pin), ("pin", pin)):
            if value is not None:
                raise click.UsageError(f"--hsm-{name} needs --hsm-module.")
        return None
    return TokenAccess(
        module=module,
        so_pin=so_pin or os.environ.get(HSM_SO_PIN_VARIABLE) or _ask(HSM_SO_PIN_VARIABLE, "security officer's PIN"),
        pin=pin or os.environ.get(HSM_PIN_VARIABLE) or _ask(HSM_PIN_VARIABLE, "PIN"),
    )


@contextmanager
def key_place(directory: Path, token: TokenAccess | None) -> Iterator[KeyPlace]:
    """Give the place of the key; afterwards every session with a token is closed."""
    if token is None:
        yield FileKeyPlace(directory)
        return
    place = TokenKeyPlace(directory, token)
    try:
        yield place
    finally:
        place.close()


def _ask(variable: str, pin: str) -> str:
    return ask_pin(DEVICE_HSM_LABEL, variable=variable, pin=pin, article="the")


_OPTIONS = (
    click.option(
        "--hsm-module",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Keep the key on the token {DEVICE_HSM_LABEL}: the PKCS#11 library of its vendor.",
    ),
    click.option(
        "--hsm-so-pin",
        metavar="PIN",
        help="Security officer's PIN, visible to others on this machine. "
        f"[default: {HSM_SO_PIN_VARIABLE}, or asked for]",
    ),
    click.option(
        "--hsm-pin",
        metavar="PIN",
        help=f"The user's PIN, visible likewise. [default: {HSM_PIN_VARIABLE}, or asked for]",
    ),
)
