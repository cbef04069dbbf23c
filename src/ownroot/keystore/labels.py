"""Key labels: what may name a key in every kind of key store."""

import re

from ownroot.errors import KeyStoreError

# What every client of this protocol calls a root on a token (api.md §7).
HSM_ROOT_LABEL = "root-ca"
HSM_ROOT_ID = b"\x01"

# What every device program of this protocol calls the token of a device and what is on it (registration.md §7.3).
DEVICE_HSM_LABEL = "aktualizr"
DEVICE_KEY_LABEL = "tls"
DEVICE_KEY_ID = b"\x01"
DEVICE_CERTIFICATE_LABEL = "client"
DEVICE_CERTIFICATE_ID = b"\x03"
# The places that renewals use in turn, key and certificate (gateway.md §7.2); a registration begins with the first.
DEVICE_KEY_IDS = (DEVICE_KEY_ID, b"\x07")
DEVICE_CERTIFICATE_IDS = (DEVICE_CERTIFICATE_ID, b"\x09")

# Where a program finds the PIN of a token when nobody types it.
HSM_PIN_VARIABLE = "OWNROOT_HSM_PIN"
HSM_SO_PIN_VARIABLE = "OWNROOT_HSM_SO_PIN"
# A server may use two tokens, or two users of one, so its online CA's token has a PIN of its own.
ONLINE_CA_PIN_VARIABLE = "OWNROOT_ONLINE_CA_PIN"

_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")


def require_label(label: str) -> None:
    """Refuse a label that is not also a safe file name.

    Raises:
        KeyStoreError: `key-label`.
    """
    if not _LABEL.match(label):
        raise KeyStoreError(
            "key-label", f"The key name {label!r} must be 1 to 64 letters, digits, '-', '_' or '.', not led by a dot."
        )
