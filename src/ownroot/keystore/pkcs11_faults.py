"""What went wrong on a token, in words for the person who holds it."""

from pkcs11 import exceptions as pkcs11

from ownroot.errors import KeyStoreError

# After one of these the sessions are worth nothing, and opening new ones may help: the token was away for a moment.
DEVICE_FAULTS: tuple[type[pkcs11.PKCS11Error], ...] = (
    pkcs11.DeviceError,
    pkcs11.DeviceRemoved,
    pkcs11.FunctionFailed,
    pkcs11.GeneralError,
    pkcs11.KeyHandleInvalid,
    pkcs11.NoSuchKey,
    pkcs11.NoSuchToken,
    pkcs11.ObjectHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.SessionHandleInvalid,
    pkcs11.SlotIDInvalid,
    pkcs11.TokenNotPresent,
    pkcs11.TokenNotRecognised,
    pkcs11.UserNotLoggedIn,
)
# The token has judged the PIN, and counted.
PIN_FAULTS: tuple[type[pkcs11.PKCS11Error], ...] = (
    pkcs11.PinExpired,
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.UserPinNotInitialized,
)


def pin_fault(fault: pkcs11.PKCS11Error, label: str) -> KeyStoreError:
    """Name what is wrong with the PIN of a token."""
    if isinstance(fault, pkcs11.PinLocked):
        return pin_locked(label)
    if isinstance(fault, pkcs11.PinExpired | pkcs11.UserPinNotInitialized):
        return KeyStoreError(
            "pin-not-set",
            f"The token {label!r} wants its PIN set first, by its security officer: pkcs11-tool --init-pin.",
        )
    return KeyStoreError(
        "pin-incorrect",
        f"The token {label!r} refused the PIN. It was tried once and is not tried again, because tokens lock "
        "themselves after a few wrong ones. Find out the right PIN before the next try.",
    )


def pin_locked(label: str) -> KeyStoreError:
    """Name a PIN that was tried too often."""
    return KeyStoreError(
        "pin-locked",
        f"The PIN of the token {label!r} is locked after too many wrong ones. Its security officer sets a new one: "
        "pkcs11-tool --init-pin. The keys on the token are not lost.",
    )


def so_pin_fault(fault: pkcs11.PKCS11Error, label: str) -> KeyStoreError:
    """Name what is wrong with a PIN while a token is prepared: the security officer's, or the new one of its user."""
    if isinstance(fault, pkcs11.PinLocked):
        return KeyStoreError(
            "so-pin-locked",
            f"The security officer's PIN of the token {label!r} is locked after too many wrong ones. Reset the token "
            "with its vendor's tool; whatever it holds is lost with that.",
        )
    if isinstance(fault, pkcs11.PinLenRange | pkcs11.PinInvalid | pkcs11.PinTooWeak):
        return KeyStoreError(
            "pin-unsuitable",
            f"The token {label!r} does not take such a PIN; most want 4 to 255 characters. Choose another and repeat.",
        )
    return KeyStoreError(
        "so-pin-incorrect",
        f"The token {label!r} refused the security officer's PIN. It was tried once and is not tried again, because "
        "tokens lock themselves for good after a few wrong ones. Find out the right PIN before the next try.",
    )


def token_gone(label: str) -> KeyStoreError:
    """Name a token that does not answer, after a second attempt with new sessions."""
    return KeyStoreError(
        "token-gone",
        f"The token {label!r} does not answer. Check that it is plugged in, or that the HSM can be reached, and try "
        "again; nothing has to be restarted.",
    )


def token_fault(fault: pkcs11.PKCS11Error, label: str) -> KeyStoreError:
    """Name any other fault; PKCS#11's own name for it is the last resort."""
    if isinstance(fault, pkcs11.NoSuchToken):
        return KeyStoreError(
            "token-unknown",
            f"There is no token {label!r}. Present: {fault}. If yours is missing there, check that it is plugged in, "
            "or that the HSM can be reached, and try again.",
        )
    if isinstance(fault, pkcs11.NoSuchKey):
        return KeyStoreError("key-gone", f"The key {str(fault)!r} is not on the token {label!r} any more.")
    if isinstance(fault, DEVICE_FAULTS):
        return token_gone(label)
    if isinstance(fault, pkcs11.DeviceMemory):
        return KeyStoreError(
            "token-full",
            f"The token {label!r} has no room left. Delete what nobody needs: pkcs11-tool --delete-object.",
        )
    if isinstance(fault, pkcs11.SessionCount):
        return KeyStoreError(
            "token-busy", f"The token {label!r} has no session left: other programs use them all. Close them."
        )
    name = type(fault).__name__
    return KeyStoreError(
        "token-failed", f"The token {label!r} could not do what was asked ({name}).", context={"fault": str(fault)}
    )
