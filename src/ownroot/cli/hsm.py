"""Options for an owner whose keys live on a token (HSM, PKCS#11), and what they amount to (protocol: api.md §7)."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from ownroot.console.pins import ask_pin
from ownroot.keystore.labels import HSM_PIN_VARIABLE, HSM_ROOT_LABEL

if TYPE_CHECKING:
    from ownroot.keystore.pkcs11 import Pkcs11KeyStore

Result = TypeVar("Result")
Function = Callable[..., Result]


@dataclass(frozen=True, slots=True)
class HsmKeys:
    """The owner's keys on a token: always the root, and a local device CA's if it has a label there."""

    store: "Pkcs11KeyStore"
    token_label: str
    local_ca_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HsmOptions:
    """A token as a command line names it. The PIN shows in no text made of this."""

    module: Path
    token_label: str
    pin: str = field(repr=False)
    local_ca_label: str | None = None

    @contextmanager
    def opened(self) -> Iterator[HsmKeys]:
        """Give the keys on the token; afterwards every session with it is closed.

        Raises:
            KeyStoreError: `pkcs11-missing`, `hsm-module-missing`, `hsm-module-unusable`.
        """
        from ownroot.keystore.pkcs11 import Pkcs11KeyStore

        store = Pkcs11KeyStore(self.module, self.token_label, self.pin)
        try:
            yield HsmKeys(store, self.token_label, self.local_ca_label)
        finally:
            store.close()


def hsm_options(*, local_ca: bool = False) -> Callable[[Function[Result]], Function[Result]]:
    """Give a command the options for a token; its parameter `hsm` is what they make: `HsmKeys`, or None without them.

    Args:
        local_ca: with one more option, for the key of a local device CA.
    """
    options = (*_HSM_OPTIONS, *([_LOCAL_CA_OPTION] if local_ca else []))

    def decorate(function: Function[Result]) -> Function[Result]:
        @wraps(function)
        def command(
            *,
            hsm_module: Path | None,
            hsm_token_label: str | None,
            hsm_pin: str | None,
            local_ca_hsm_label: str | None = None,
            **others: object,
        ) -> Result:
            chosen = _chosen(hsm_module, hsm_token_label, hsm_pin, local_ca_hsm_label)
            if chosen is None:
                return function(hsm=None, **others)
            with chosen.opened() as hsm:
                return function(hsm=hsm, **others)

        decorated: Function[Result] = command
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def _chosen(
    module: Path | None, token_label: str | None, pin: str | None, local_ca_label: str | None
) -> HsmOptions | None:
    """Complete the options, asking for the PIN last; half of them is a mistake that could leave a root in a file."""
    if module is None:
        for name, value in (("token-label", token_label), ("pin", pin)):
            if value is not None:
                raise click.UsageError(f"--hsm-{name} needs --hsm-module.")
        if local_ca_label is not None:
            raise click.UsageError("--local-ca-hsm-label needs --hsm-module.")
        return None
    if not token_label:
        raise click.UsageError("--hsm-module needs --hsm-token-label: which token holds the root.")
    if local_ca_label == HSM_ROOT_LABEL:
        raise click.UsageError(f"--local-ca-hsm-label {HSM_ROOT_LABEL} is the root's own label.")
    return HsmOptions(
        module=module,
        token_label=token_label,
        pin=pin or os.environ.get(HSM_PIN_VARIABLE) or ask_pin(token_label, variable=HSM_PIN_VARIABLE),
        local_ca_label=local_ca_label,
    )


_HSM_OPTIONS = (
    click.option(
        "--hsm-module",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The root is on a token: the PKCS#11 library of its vendor.",
    ),
    click.option("--hsm-token-label", metavar="LABEL", help="Which token."),
    click.option(
        "--hsm-pin",
        metavar="PIN",
        help=f"Its PIN, visible to others on this machine. [default: {HSM_PIN_VARIABLE}, or asked for]",
    ),
)
_LOCAL_CA_OPTION = click.option(
    "--local-ca-hsm-label", metavar="LABEL", help="The local CA's key is on the token too, under this label."
)
