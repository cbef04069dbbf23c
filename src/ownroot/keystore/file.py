"""Private keys as files in a PKI directory (protocol: api.md §4.1).

Keys are written as SEC1 `EC PRIVATE KEY` PEM, which every client of this protocol reads, mode 0400, whole or not at
all, and never over another file: a factory root that is overwritten takes its fleet with it. PKCS#8 is read too, since
other tools write it.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ownroot.errors import KeyStoreError
from ownroot.keystore.durable import write_new_file
from ownroot.keystore.labels import require_label
from ownroot.pki.signer import PrivateKey, generate_key

KEY_SUFFIX = ".key"
KEY_MODE = 0o400
_MAX_KEY_BYTES = 64 * 1024


class FileKeyStore:
    """The keys of one directory; label `x` is the file `x.key`.

    Args:
        directory: must exist; what is in it is read anew at every call.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, label: str) -> PrivateKey:
        """Make a P-256 key; on return its file is on disk.

        Raises:
            KeyStoreError: `key-exists` (nothing was touched), `key-unwritable`.
        """
        path = self.path(label)
        key = generate_key()
        try:
            write_new_file(path, sec1_pem(key), mode=KEY_MODE)
        except FileExistsError as exc:
            raise KeyStoreError(
                "key-exists",
                f"There is a key {path} already, and a key is never replaced. Move it away if you mean to.",
            ) from exc
        except OSError as exc:
            raise KeyStoreError("key-unwritable", f"The key {path} cannot be written: {exc.strerror}.") from exc
        return key

    def find(self, label: str) -> PrivateKey | None:
        """Return the key, or None if there is no such file.

        Raises:
            KeyStoreError: `key-unreadable`, `key-unsupported`.
        """
        path = self.path(label)
        try:
            with path.open("rb") as stream:
                pem = stream.read(_MAX_KEY_BYTES)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise KeyStoreError("key-unreadable", f"The key {path} cannot be read: {exc.strerror}.") from exc
        return load_key(pem, where=os.fspath(path))

    def path(self, label: str) -> Path:
        """Return where the key of this label lies, whether it exists or not."""
        require_label(label)
        return self._directory / f"{label}{KEY_SUFFIX}"


def sec1_pem(key: PrivateKey) -> bytes:
    """Return the key as unencrypted SEC1 PEM, one newline at the end.

    Raises:
        KeyStoreError: `key-not-exportable`: it lives on hardware.
    """
    try:
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    except (NotImplementedError, UnsupportedAlgorithm) as exc:
        raise KeyStoreError("key-not-exportable", "This private key never leaves the device that holds it.") from exc


def load_key(pem: bytes, *, where: str) -> PrivateKey:
    """Read an unencrypted EC private key, SEC1 (EC PARAMETERS before it are fine) or PKCS#8.

    Raises:
        KeyStoreError: `key-unreadable`, `key-encrypted`, `key-unsupported`; `where` names the key in its words.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise KeyStoreError("key-encrypted", f"The key {where} is encrypted; only unencrypted keys are read.") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise KeyStoreError("key-unreadable", f"The key {where} is not a private key in PEM.") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyStoreError("key-unsupported", f"The key {where} is not an elliptic-curve key.")
    return key
