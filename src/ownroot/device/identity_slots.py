"""Where a device keeps its present and its next identity while it goes from one to the other.

The present one stays usable until the gateway has seen the next: `sota.toml` names one of them, and replacing that one
file is the moment of change.
"""

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cryptography import x509

from ownroot.device.files import CERTIFICATE_FILE, CHAIN_FILE, KEY_FILE, PRIVATE_MODE, SETTINGS_FILE, write_private
from ownroot.device.identity import certificate_file
from ownroot.errors import InvalidInputError, KeyStoreError
from ownroot.keystore.durable import replace_file, sync_directory, write_new_file
from ownroot.keystore.file import load_key, sec1_pem
from ownroot.pki.encoding import certificate_pem
from ownroot.pki.signer import PrivateKey, generate_key
from ownroot.wire.sota_edit import replace_values

NEXT_KEY_FILE = "pkey.next.pem"
NEXT_CERTIFICATE_FILE = "client.next.pem"
NEXT_CHAIN_FILE = "client.next.chained"


class IdentitySlots(Protocol):
    """The two identities of a device during a renewal; everything may be done twice."""

    def find_or_create_next_key(self) -> PrivateKey:
        """Return the next key; durable on return.

        Raises:
            KeyStoreError: the place of keys does not serve.
        """
        ...

    def keys(self) -> tuple[PrivateKey, ...]:
        """Return the keys there are, the next one first. Raises KeyStoreError."""
        ...

    def require_switchable(self) -> None:
        """Find out beforehand that `switch` will not fail for what stands in `sota.toml`.

        Raises:
            InvalidInputError: `sota-toml-edit`, `device-directory`.
        """
        ...

    def other_certificate(self) -> x509.Certificate | None:
        """Return the certificate in the place that is not the present identity's, None if there is none.

        Raises:
            KeyStoreError: `device-certificate`, it cannot be read; `slot-taken`, or why the token cannot serve.
        """
        ...

    def make_room(self) -> None:
        """Take away what lies in the place of a next identity while nobody is renewing.

        `sota.toml` may name another place for the present identity afterwards.

        Raises:
            InvalidInputError, KeyStoreError: what lies there is another program's.
        """
        ...

    def keep(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        """Store the next certificate, which is verified. Raises InvalidInputError, KeyStoreError."""
        ...

    def switch(self) -> None:
        """Make the next identity the one that programs use. Raises InvalidInputError."""
        ...

    def settle(self) -> None:
        """Put the next identity in the place of the one before, which the gateway refuses from now on.

        Raises:
            InvalidInputError, KeyStoreError: programs use the next identity all the same.
        """
        ...

    def discard_next(self) -> None:
        """Forget a next identity that nobody has heard of, and never one that programs use.

        Raises:
            InvalidInputError, KeyStoreError: it may still be there.
        """
        ...


class FileSlots:
    """Both identities are files; the next one lies beside the present one under names of its own until it is settled.

    Args:
        key, certificate: of the present identity, and in the end of the next.
    """

    def __init__(self, directory: Path, key: Path, certificate: Path) -> None:
        self._directory = directory
        self._key, self._certificate = key, certificate
        self._next_key = directory / NEXT_KEY_FILE
        self._next_certificate = directory / NEXT_CERTIFICATE_FILE
        self._next_chain = directory / NEXT_CHAIN_FILE

    def find_or_create_next_key(self) -> PrivateKey:
        if not self._next_key.exists():
            with writing(self._next_key):
                write_new_file(self._next_key, sec1_pem(generate_key()), mode=PRIVATE_MODE)
        return read_key(self._next_key)

    def keys(self) -> tuple[PrivateKey, ...]:
        return tuple(read_key(path) for path in (self._next_key, self._key) if path.exists())

    def require_switchable(self) -> None:
        self._settings(self._next_key, self._next_certificate)

    def other_certificate(self) -> x509.Certificate | None:
        is_next = self._certificate == self._next_certificate
        other = self._directory / CERTIFICATE_FILE if is_next else self._next_certificate
        return certificate_file(other) if other.exists() else None

    def make_room(self) -> None:
        """Bring a present identity back that still lies there, cut off before it was settled.

        Anything else stays: the names are ours, and a key that nobody has heard of serves as well as a new one.
        """
        if self._key == self._next_key:
            FileSlots(self._directory, self._directory / KEY_FILE, self._directory / CERTIFICATE_FILE).settle()

    def keep(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        write_private(self._next_chain, certificate_pem(certificate) + certificate_pem(issuer))
        write_private(self._next_certificate, certificate_pem(certificate))

    def switch(self) -> None:
        self._point_to(self._next_key, self._next_certificate)

    def settle(self) -> None:
        if self._is_next_in_use():
            self._copy_over()
            self._point_to(self._key, self._certificate)
        self.discard_next()

    def discard_next(self) -> None:
        if self._is_next_in_use():
            return
        for path in (self._next_certificate, self._next_chain, self._next_key):
            with writing(path):
                path.unlink(missing_ok=True)
        with writing(self._directory):
            sync_directory(self._directory)

    def _copy_over(self) -> None:
        pairs = [(self._next_key, self._key), (self._next_certificate, self._certificate)]
        if (self._directory / CHAIN_FILE).exists():
            pairs.append((self._next_chain, self._directory / CHAIN_FILE))
        for source, target in pairs:
            with writing(target):
                replace_file(target, source.read_bytes(), mode=PRIVATE_MODE)

    def _is_next_in_use(self) -> bool:
        section = tomllib.loads(read_settings(self._directory)).get("import", {})
        return isinstance(section, dict) and section.get("tls_pkey_path") == str(self._next_key)

    def _point_to(self, key: Path, certificate: Path) -> None:
        write_private(self._directory / SETTINGS_FILE, self._settings(key, certificate))

    def _settings(self, key: Path, certificate: Path) -> str:
        text = read_settings(self._directory)
        return replace_values(text, "import", {"tls_pkey_path": str(key), "tls_clientcert_path": str(certificate)})


def read_key(path: Path) -> PrivateKey:
    """Read a key file. Raises KeyStoreError `key-unreadable`, and as `load_key`."""
    try:
        return load_key(path.read_bytes(), where=str(path))
    except OSError as error:
        raise KeyStoreError("key-unreadable", f"The key {path} cannot be read.") from error


def read_settings(directory: Path) -> str:
    """Return the text of `sota.toml`. Raises InvalidInputError `device-settings`."""
    path = directory / SETTINGS_FILE
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("device-settings", f"{path} cannot be read.") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that could not be written in the block. Raises InvalidInputError `device-directory`."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError("device-directory", f"{path} cannot be written: {error.strerror}.") from error
