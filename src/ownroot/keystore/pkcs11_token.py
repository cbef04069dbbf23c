"""A token that we are logged in to, and its sessions.

- A PIN that the token refused is never tried again: a few wrong ones lock it, and on a locked token the root is out of
  reach for its owner too.
- A session serves one thread at a time. Idle ones are kept, so there are as many as threads ever worked at once.
- PKCS#11 logs in the whole process, not a session. So one `Token` serves all key stores of a process on it; one session
  without any other work keeps the login, and is closed last.
- When the device fails, the module starts anew, once per call, and the work is done again in new sessions.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

import pkcs11
from pkcs11 import PKCS11Error, TokenFlag
from pkcs11.types import SignMixin

from ownroot.errors import KeyStoreError
from ownroot.keystore.openssl_errors import clear_openssl_errors
from ownroot.keystore.pkcs11_faults import (
    DEVICE_FAULTS,
    PIN_FAULTS,
    pin_fault,
    token_fault,
)
from ownroot.keystore.pkcs11_module import Module

Result = TypeVar("Result")


@dataclass(slots=True)
class Line:
    """One session, for one thread at a time; keeps the handles of the keys it has found."""

    session: pkcs11.Session
    keys: dict[tuple[str, bytes], SignMixin] = field(default_factory=dict)


class Token:
    """A token, logged in on first use. Get one from `Token.open`, and `release` it.

    Args:
        label: what the token is called; no two tokens of a module may be called the same.
    """

    _opened: ClassVar[dict[tuple[Path, str], "Token"]] = {}

    def __init__(self, module: Module, label: str, pin: str) -> None:
        self.label = label
        self._module = module
        self._pin = pin
        self._users = 0
        self._refusal: KeyStoreError | None = None
        self._generation = 0
        self._login: pkcs11.Session | None = None
        self._idle: list[Line] = []
        self._busy = 0
        self._is_closed = False

    @classmethod
    def open(cls, module: Path, label: str, pin: str) -> "Token":
        """Return the token of this label; nothing is asked of the device yet.

        Raises:
            KeyStoreError: `hsm-module-missing`, `hsm-module-unusable`; `pin-incorrect`: it is open with another PIN.
        """
        with Module.registry_lock:
            key = (module.resolve(), label)
            token = cls._opened.get(key)
            if token is not None and not hmac.compare_digest(token._pin.encode(), pin.encode()):
                if token._refusal is None:
                    raise KeyStoreError("pin-incorrect", f"The token {label!r} is in use here with another PIN.")
                token = None
            if token is None:
                token = cls._opened[key] = cls(Module.use(module), label, pin)
            token._users += 1
            return token

    def release(self) -> None:
        """Say that one user is done; the last one closes all sessions and logs out."""
        with Module.registry_lock:
            self._users -= 1
            if self._users:
                return
            key = (self._module.path, self.label)
            if self._opened.get(key) is self:
                del self._opened[key]
            self._close()
            self._module.release()

    def use(self, work: Callable[[Line], Result]) -> Result:
        """Do something in a session of its own; on an error of the device once more, in a new one.

        Raises:
            KeyStoreError: `pin-incorrect`, `pin-locked`, `pin-not-set`, `token-unknown`, `token-ambiguous`,
                `token-gone`, `token-busy`, `token-failed`, `hsm-module-unusable`, and what `work` raises.
        """
        generation = self._module.generation
        try:
            return self._attempt(work)
        except DEVICE_FAULTS:
            self._module.restart(generation)
        except PKCS11Error as exc:
            raise token_fault(exc, self.label) from exc
        try:
            return self._attempt(work)
        except PKCS11Error as exc:
            raise token_fault(exc, self.label) from exc

    def use_anew(self, work: Callable[[Line], Result]) -> Result:
        """As `use`, after looking for the token again: one that was pulled out looks empty to some modules."""
        self._module.restart(self._module.generation)
        return self.use(work)

    def _attempt(self, work: Callable[[Line], Result]) -> Result:
        # Short on purpose: a fast token signs in less time than a few dozen lines of Python take.
        module = self._module
        with module.lock:
            generation = module.enter()
            try:
                line = self._take(generation)
            except BaseException:
                module.leave()
                clear_openssl_errors()
                raise
        is_sound = True
        try:
            return work(line)
        except PKCS11Error:
            is_sound = False
            raise
        finally:
            with module.lock:
                self._give_back(line, is_sound=is_sound)
                module.leave()
            clear_openssl_errors()

    def _take(self, generation: int) -> Line:
        """Take an idle session or open one; the caller holds the module's lock."""
        token = self._logged_in(generation)
        while not self._idle:
            try:
                self._idle.append(Line(token.open()))
            except pkcs11.SessionCount:
                if not self._busy:
                    raise
                self._module.changed.wait()  # a token of few sessions: wait for one of ours
        self._busy += 1
        return self._idle.pop()

    def _give_back(self, line: Line, *, is_sound: bool) -> None:
        self._busy -= 1
        if is_sound:
            self._idle.append(line)
        else:
            _close_session(line.session)

    def _logged_in(self, generation: int) -> pkcs11.Token:
        """Log in, once in each generation of the module; the caller holds the module's lock."""
        if self._is_closed:
            raise KeyStoreError("key-store-closed", f"The keys on the token {self.label!r} are not in use any more.")
        if self._refusal is not None:
            raise KeyStoreError(self._refusal.code, self._refusal.detail)
        if self._login is not None and self._generation == generation:
            return self._login.token
        self._idle, self._busy, self._login = [], 0, None  # sessions of an earlier generation are gone
        token = self._find()
        try:
            if token.flags & TokenFlag.USER_PIN_LOCKED:
                raise pkcs11.PinLocked
            self._login = token.open(user_pin=self._pin)
        except PIN_FAULTS as exc:
            self._refusal = pin_fault(exc, self.label)
            raise self._refusal from exc
        self._generation = generation
        return token

    def _find(self) -> pkcs11.Token:
        present = [token for token in self._module.tokens() if token.flags & TokenFlag.TOKEN_INITIALIZED]
        named = [token for token in present if token.label == self.label]
        if not named and self._generation:
            raise pkcs11.TokenNotPresent  # it was here before
        if not named:
            raise pkcs11.NoSuchToken(", ".join(repr(token.label) for token in present) or "none")
        if len(named) > 1:
            serials = ", ".join(token.serial.decode(errors="replace") for token in named)
            raise KeyStoreError(
                "token-ambiguous",
                f"{len(named)} tokens are called {self.label!r} (serial numbers {serials}), so it is not clear where "
                "the key belongs. Leave only one of them in reach, or give one another label.",
            )
        return named[0]

    def _close(self) -> None:
        with self._module.lock:
            self._is_closed = True
            if self._generation == self._module.generation:
                self._module.changed.wait_for(lambda: not self._busy)
                for line in self._idle:
                    _close_session(line.session)
                if self._login is not None:
                    _close_session(self._login)
            self._idle, self._login = [], None
        clear_openssl_errors()


def _close_session(session: pkcs11.Session) -> None:
    """Close a session; one that the device has lost already is closed."""
    try:
        session.close()
    except PKCS11Error:
        return
