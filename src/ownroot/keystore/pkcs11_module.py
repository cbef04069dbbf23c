"""One PKCS#11 module (a vendor's shared library) in this process.

A module is initialized once per process, whoever uses it: the standard leaves no choice, so modules are kept here, one
for each path, and closed by their last user. python-pkcs11 initializes a module with the promise that one thread uses
it, and SoftHSM2 then runs without locks and crashes under two. So we initialize it ourselves, asking for locks.

Behind every call of a module the thread's OpenSSL errors are cleared (`openssl_errors`).

A module's sessions end together when it starts anew: after an error of the device, or in a forked child, which must not
use its parent's sessions. Each start has a number, its generation; what was opened under another one is gone.
Source: PKCS#11 2.40 §5.4 (C_Initialize, C_Finalize), §6.6.2 and §6.6.3 (processes and threads).
"""

import ctypes
import os
import threading
from pathlib import Path
from typing import ClassVar

from pkcs11 import GeneralError, PinIncorrect, PinInvalid, PinLenRange, PinLocked, PKCS11Error, Token
from pkcs11._pkcs11 import lib

from ownroot.errors import KeyStoreError
from ownroot.keystore.openssl_errors import clear_openssl_errors

_OK = 0x0
_OS_LOCKING_OK = 0x2
_INIT_TOKEN_ARGUMENTS = (ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_LABEL_BYTES = 32
# What C_InitToken says of the PIN it is given.
_PIN_FAULTS: dict[int, type[PKCS11Error]] = {0xA0: PinIncorrect, 0xA1: PinInvalid, 0xA2: PinLenRange, 0xA4: PinLocked}


class _InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS: without lock functions of ours, the module takes the operating system's."""

    _fields_ = (
        ("lock_functions", ctypes.c_void_p * 4),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _FunctionList(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST; `between` are seven functions we do not call."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
        ("finalize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
        ("between", ctypes.c_void_p * 7),
        ("init_token", ctypes.CFUNCTYPE(ctypes.c_ulong, *_INIT_TOKEN_ARGUMENTS)),
    )


class Module:
    """A module in use. Get one from `Module.use`, and `release` it.

    Args:
        path: the shared library, resolved.
    """

    _in_use: ClassVar[dict[Path, "Module"]] = {}
    registry_lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()  # guards everything that belongs to the module's current generation
        self.changed = threading.Condition(self.lock)
        self._users = 0
        self._at_work = 0
        self._generation = 1
        self._restarting = False
        self._must_start = False  # inherited over a fork, or a start has failed
        self._library, self._functions = _load(path)
        self._initialize()

    @classmethod
    def use(cls, path: Path) -> "Module":
        """Return the module of this file, loading it for its first user.

        Raises:
            KeyStoreError: `hsm-module-missing`, `hsm-module-unusable`.
        """
        with cls.registry_lock:
            module = cls._in_use.get(path.resolve())
            if module is None:
                module = cls._in_use[path.resolve()] = cls(path.resolve())
            module._users += 1
            return module

    def release(self) -> None:
        """Say that one user is done; the last one closes the module and every session with it."""
        with self.registry_lock:
            self._users -= 1
            if not self._users:
                del self._in_use[self.path]
                with self.lock:
                    self.changed.wait_for(lambda: not self._at_work)
                    self._finalize()

    def enter(self) -> int:
        """Keep the module from starting anew until `leave`; the caller holds the lock.

        Returns: the generation that whatever is done now runs in.
        """
        while self._restarting:
            self.changed.wait()
        if self._must_start:
            self._start_anew()
        self._at_work += 1
        return self._generation

    def leave(self) -> None:
        """End what `enter` began; the caller holds the lock."""
        self._at_work -= 1
        self.changed.notify_all()

    @property
    def generation(self) -> int:
        """How often the module was started, so far."""
        return self._generation

    def restart(self, generation: int) -> None:
        """Start the module anew once nothing runs on it, unless somebody did since this generation.

        Raises:
            KeyStoreError: `hsm-module-unusable`.
        """
        with self.lock:
            self.changed.wait_for(lambda: not self._restarting)
            if generation != self._generation:
                return
            self._restarting = True
            try:
                self.changed.wait_for(lambda: not self._at_work)
                self._start_anew()
            finally:
                self._restarting = False
                self.changed.notify_all()

    def tokens(self) -> tuple[Token, ...]:
        """Return the tokens that are present. Raises PKCS11Error."""
        try:
            return tuple(self._library.get_tokens())
        finally:
            clear_openssl_errors()

    def initialize_token(self, slot_id: int, so_pin: str, label: str) -> None:
        """Make an empty token in a slot, with this label and security officer's PIN; the caller is inside `enter`.

        python-pkcs11 has no call for it. Whatever the slot's token held is destroyed.

        Raises:
            PKCS11Error: the PIN's own fault by its class, any other as GeneralError.
        Source: PKCS#11 2.40 §5.5 (C_InitToken): the label is 32 bytes, padded with blanks.
        """
        pin = so_pin.encode()
        code = self._functions.init_token(slot_id, pin, len(pin), label.encode().ljust(_LABEL_BYTES))
        clear_openssl_errors()
        if code != _OK:
            raise _PIN_FAULTS.get(code, GeneralError)(f"C_InitToken: 0x{code:x}")

    @classmethod
    def after_fork(cls) -> None:
        """In a child: forget what the parent's threads were doing, and start anew before the first use."""
        cls.registry_lock = threading.RLock()
        for module in cls._in_use.values():
            module.lock = threading.RLock()
            module.changed = threading.Condition(module.lock)
            module._at_work, module._restarting, module._must_start = 0, False, True
            module._generation += 1

    def _start_anew(self) -> None:
        self._generation += 1
        self._must_start = True
        self._finalize()
        self._initialize()
        self._must_start = False

    def _initialize(self) -> None:
        arguments = _InitializeArguments(flags=_OS_LOCKING_OK)
        code = self._functions.initialize(ctypes.byref(arguments))
        clear_openssl_errors()
        if code != _OK:
            raise _unusable(self.path, f"it does not start (PKCS#11 error 0x{code:x})")

    def _finalize(self) -> None:
        """Close the module and all its sessions; one that has noticed a fork is closed already."""
        self._functions.finalize(None)
        clear_openssl_errors()


os.register_at_fork(after_in_child=Module.after_fork)


def _load(path: Path) -> tuple[lib, _FunctionList]:
    if not path.is_file():
        raise KeyStoreError(
            "hsm-module-missing",
            f"There is no PKCS#11 module {path}. It comes with the software of the token; look where that was "
            "installed (SoftHSM2 on Debian: /usr/lib/softhsm/libsofthsm2.so).",
        )
    try:
        native = ctypes.CDLL(os.fspath(path))
        functions = ctypes.POINTER(_FunctionList)()
        code = native.C_GetFunctionList(ctypes.byref(functions))
        if code != _OK:
            raise _unusable(path, f"it gives no functions (PKCS#11 error 0x{code:x})")
        library = lib(os.fspath(path))
        library.finalize()
    except (OSError, AttributeError, PKCS11Error) as exc:
        raise _unusable(path, "it cannot be loaded as a PKCS#11 module") from exc
    return library, functions.contents


def _unusable(path: Path, fault: str) -> KeyStoreError:
    return KeyStoreError(
        "hsm-module-unusable",
        f"The PKCS#11 module {path} cannot be used: {fault}. Check that it is the right file for this machine, and "
        "that its own settings are readable (SoftHSM2: the file that SOFTHSM2_CONF names).",
    )
