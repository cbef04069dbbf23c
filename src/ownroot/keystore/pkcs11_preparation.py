"""Making a token ready for its device: the token of a certain label, with a PIN for its user.

Cut anywhere, it is repeated and goes on: a token that has its label and no user's PIN yet gets one. A PIN that the
token refused is not tried again.

Source: registration.md §7.3; PKCS#11 2.40 §5.5 (C_InitToken, C_InitPIN).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pkcs11
from pkcs11 import PKCS11Error, TokenFlag

from ownroot.keystore.pkcs11_faults import PIN_FAULTS, so_pin_fault, token_fault
from ownroot.keystore.pkcs11_module import Module

_PIN_FAULTS: tuple[type[PKCS11Error], ...] = (*PIN_FAULTS, pkcs11.PinTooWeak)


def prepare_token(path: Path, label: str, *, so_pin: str, pin: str, may_initialize: bool) -> bool:
    """Find the token of this label, or make it of the first uninitialised one; then see that its user has a PIN.

    Args:
        may_initialize: False: a token that is not there is an error.
    Returns: whether the token was made now.
    Raises:
        KeyStoreError: `token-unknown` (none of this label, and none that could become it), `so-pin-incorrect`,
            `so-pin-locked`, `pin-unsuitable`, `hsm-module-missing`, `hsm-module-unusable`, or as `Token.use`.
    """
    module = Module.use(path)
    try:
        made = False
        if _find(module, label) is None:
            _initialize_one(module, label, so_pin, may_initialize=may_initialize)
            # A slot that was initialised gets another number when the module starts again.
            module.restart(module.generation)
            made = True
        _ensure_pin(module, label, so_pin, pin)
        return made
    finally:
        module.release()


def _initialize_one(module: Module, label: str, so_pin: str, *, may_initialize: bool) -> None:
    with _at_work(module, label):
        tokens = module.tokens()
        empty = [token for token in tokens if not token.flags & TokenFlag.TOKEN_INITIALIZED]
        if not (may_initialize and empty):
            present = [repr(token.label) for token in tokens if token.flags & TokenFlag.TOKEN_INITIALIZED]
            raise pkcs11.NoSuchToken(", ".join(present) or "none")
        module.initialize_token(empty[0].slot.slot_id, so_pin, label)


def _ensure_pin(module: Module, label: str, so_pin: str, pin: str) -> None:
    token = _find(module, label)
    if token is None or token.flags & TokenFlag.USER_PIN_INITIALIZED:
        return  # a token that went away meanwhile is named by whoever uses it next
    with _at_work(module, label):
        if token.flags & TokenFlag.SO_PIN_LOCKED:
            raise pkcs11.PinLocked
        session = token.open(rw=True, so_pin=so_pin)
        try:
            session.init_pin(pin)
        finally:
            session.close()


def _find(module: Module, label: str) -> pkcs11.Token | None:
    """Return one token of this label; that there is only one is checked by whoever uses it."""
    with _at_work(module, label):
        named = [
            token for token in module.tokens() if token.flags & TokenFlag.TOKEN_INITIALIZED and token.label == label
        ]
        return named[0] if named else None


@contextmanager
def _at_work(module: Module, label: str) -> Iterator[None]:
    with module.lock:
        module.enter()
        try:
            yield
        except _PIN_FAULTS as exc:
            raise so_pin_fault(exc, label) from exc
        except PKCS11Error as exc:
            raise token_fault(exc, label) from exc
        finally:
            module.leave()
