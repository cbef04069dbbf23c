"""The directory that holds an owner's PKI, as every client of this protocol lays it out (api.md §4.1).

Files appear whole, mode 0400 whatever the umask, and no key is ever written over another file. Reading accepts what
other tools left there: PKCS#8 keys, other modes, other curves.
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from ownroot.cli.hsm import HsmKeys
from ownroot.errors import ConflictError, InvalidInputError, KeyStoreError, NotFoundError
from ownroot.keystore.durable import replace_file, sync_directory, write_new_file
from ownroot.keystore.file import KEY_SUFFIX, FileKeyStore
from ownroot.keystore.labels import HSM_ROOT_LABEL
from ownroot.pki.encoding import certificate_pem, parse_certificate
from ownroot.pki.signer import KeyStore, PrivateKey

ROOT_KEY_LABEL = "factory_ca"
ROOT_FILE = "factory_ca.pem"
TLS_FILE = "tls-crt"
ONLINE_CA_FILE = "online-crt"
LOCAL_CA_FILE = "local-ca.pem"
CERTIFICATE_SUFFIX = ".pem"
# A certificate that the server has not accepted yet, and one that a newer one has taken over from.
STAGED_SUFFIX = ".new"
BACKUP_SUFFIX = ".bak"

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o400
# The temporary names of `keystore.durable`: `.factory_ca.key.a1b2c3d4`, eight characters at the end.
_LEFTOVER = re.compile(r"\.(tls-crt|online-crt|\.ownroot-probe|[A-Za-z0-9._-]+\.(key|pem))(\.new|\.bak)?\.[a-z0-9_]{8}")
# More than a whole PKI takes: a full disk shows before a key is made.
_ROOM_BYTES = 32 * 1024
_MAX_BYTES = 1024 * 1024


class PkiDirectory:
    """One owner's PKI directory. What is in it is read anew at every call.

    Args:
        hsm: the token that holds the root, and perhaps a local device CA; None: all keys are files of the directory.
        backdate: how long before its making the owner wants a certificate of this PKI to begin.
    """

    def __init__(self, path: Path, hsm: HsmKeys | None = None, *, backdate: timedelta = timedelta()) -> None:
        self.path = path
        self.hsm = hsm
        self.backdate = backdate
        self._keys = FileKeyStore(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory for one run that makes files in it; made (mode 0700) if it is missing.

        What an earlier run left half-written under a temporary name is removed: nothing refers to it.

        Raises:
            KeyStoreError: `pki-directory-unwritable`.
            ConflictError: `pki-directory-busy`, another run holds it.
        """
        try:
            _make_directory(self.path)
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc
        try:
            _lock(descriptor, self.path)
            self._sweep()
            yield
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove leftovers, and find out before any key is made whether files can be made here."""
        try:
            for leftover in self.path.glob(".*.*"):
                if _LEFTOVER.fullmatch(leftover.name):
                    leftover.unlink()
            probe = self.path / ".ownroot-probe"
            probe.unlink(missing_ok=True)
            write_new_file(probe, bytes(_ROOM_BYTES), mode=_FILE_MODE)
            probe.unlink()
        except OSError as exc:
            raise _unwritable(self.path, exc) from exc

    def find_certificate(self, name: str) -> x509.Certificate | None:
        """Read a certificate file, one PEM block; None if there is no such file.

        Raises:
            InvalidInputError: the file cannot be read as a certificate; the detail names it.
        """
        text = read_text(self.path / name)
        if text is None:
            return None
        try:
            return parse_certificate(text)
        except InvalidInputError as exc:
            raise InvalidInputError(exc.code, f"{self.path / name}: {exc.detail}") from exc

    def certificate(self, name: str) -> x509.Certificate:
        """Read a certificate file that must be there.

        Raises:
            NotFoundError: `pki-directory-incomplete`.
            InvalidInputError: as `find_certificate`.
        """
        certificate = self.find_certificate(name)
        if certificate is None:
            raise NotFoundError("pki-directory-incomplete", f"There is no {name} in {self.path}.")
        return certificate

    def find_key(self, label: str) -> PrivateKey | None:
        """Read a private key; None if there is none. Raises KeyStoreError when it is there and unusable."""
        return self._keys.find(label)

    def root_key(self) -> PrivateKey:
        """Read the root key, which must be there.

        Raises:
            NotFoundError: `pki-directory-incomplete`.
            KeyStoreError: it is there and cannot be used.
        """
        key = self.find_root_key()
        if key is None:
            hint = "" if self.hsm is not None else f" in {self.path}. If it is on a token, say which one: --hsm-module"
            raise NotFoundError("pki-directory-incomplete", f"There is no root key ({self.root_key_name}){hint}.")
        return key

    def root_key_open_to_others(self) -> Path | None:
        """Return the file of the root key if its mode lets others read or change it; None if not, or on a token."""
        file = self.path / f"{ROOT_KEY_LABEL}{KEY_SUFFIX}"
        if self.hsm is not None or not file.exists() or not stat.S_IMODE(file.stat().st_mode) & 0o077:
            return None
        return file

    @property
    def root_key_name(self) -> str:
        """What the root key is called, for a person."""
        return f"{ROOT_KEY_LABEL}{KEY_SUFFIX}" if self.hsm is None else _on_token(self.hsm, HSM_ROOT_LABEL)

    def local_ca_key_name(self, file: str) -> str:
        """What the key of a local device CA is called, for a person."""
        if self.hsm is None or self.hsm.local_ca_label is None:
            return f"{key_label(file)}{KEY_SUFFIX}"
        return _on_token(self.hsm, self.hsm.local_ca_label)

    def find_root_key(self) -> PrivateKey | None:
        """Read the root key, from the token if there is one; None if there is none. Raises KeyStoreError."""
        return self._keys.find(ROOT_KEY_LABEL) if self.hsm is None else self.hsm.store.find(HSM_ROOT_LABEL)

    def create_root_key(self) -> PrivateKey:
        """Make the root key, on the token if there is one. Raises as `create_key`, or why the token cannot serve."""
        return self._keys.create(ROOT_KEY_LABEL) if self.hsm is None else self.hsm.store.create(HSM_ROOT_LABEL)

    def find_local_ca_key(self, file: str) -> PrivateKey | None:
        """Read the key of a local device CA by its certificate's file, from the token if it has a label there."""
        store, label = self._place_of_local_ca(file)
        return store.find(label)

    def create_local_ca_key(self, file: str) -> PrivateKey:
        """Make the key of a local device CA, on the token if it has a label there. Raises as `create_root_key`."""
        store, label = self._place_of_local_ca(file)
        return store.create(label)

    def refuse_root_key_of_another(self) -> None:
        """Refuse a root key on the token while there is no root certificate here: nobody knows whose it is.

        A key file without a certificate is different: a run that was cut left it in this directory.

        Raises:
            KeyStoreError: `key-exists`.
        """
        if self.hsm is not None and self.find_root_key() is not None:
            raise _key_of_another(self.root_key_name, ROOT_FILE, self.path)

    def refuse_local_ca_key_of_another(self, file: str) -> None:
        """Refuse a key on the token under the local CA's label while its certificate is not here; as the root's."""
        if self.hsm is not None and self.hsm.local_ca_label and self.find_local_ca_key(file) is not None:
            raise _key_of_another(self.local_ca_key_name(file), file, self.path)

    def _place_of_local_ca(self, file: str) -> tuple[KeyStore, str]:
        if self.hsm is None or self.hsm.local_ca_label is None:
            return self._keys, key_label(file)
        return self.hsm.store, self.hsm.local_ca_label

    def create_key(self, label: str) -> PrivateKey:
        """Make a P-256 key; its file is on disk on return. Raises KeyStoreError `key-exists`, `key-unwritable`."""
        return self._keys.create(label)

    def write_certificate(self, name: str, certificate: x509.Certificate) -> None:
        """Write a certificate to a new file.

        Raises:
            ConflictError: `pki-file-exists`; it was not touched.
            KeyStoreError: `pki-directory-unwritable`.
        """
        try:
            write_new_file(self.path / name, certificate_pem(certificate).encode(), mode=_FILE_MODE)
        except FileExistsError as exc:
            raise ConflictError("pki-file-exists", f"There is a file {self.path / name} already.") from exc
        except OSError as exc:
            raise _unwritable(self.path / name, exc) from exc

    def replace_certificate(self, name: str, certificate: x509.Certificate) -> None:
        """Write a certificate in place of one that never came into service. Raises as `write_certificate`."""
        try:
            replace_file(self.path / name, certificate_pem(certificate).encode(), mode=_FILE_MODE)
        except OSError as exc:
            raise _unwritable(self.path / name, exc) from exc

    def stage(self, name: str, certificate: x509.Certificate) -> None:
        """Write a certificate beside the file it will become, before it is sent. Raises as `write_certificate`."""
        self.replace_certificate(name + STAGED_SUFFIX, certificate)

    def find_staged(self, name: str) -> x509.Certificate | None:
        """Read what `stage` wrote, in this run or in one that was cut. Raises as `find_certificate`."""
        return self.find_certificate(name + STAGED_SUFFIX)

    def promote(self, name: str) -> None:
        """Put a staged certificate, which the server has accepted, in its place; what was there becomes `NAME.bak`.

        There is a file NAME at every moment, and a run that was cut can promote again.

        Raises:
            KeyStoreError: `pki-directory-unwritable`.
        """
        current, staged = self.path / name, self.path / (name + STAGED_SUFFIX)
        try:
            if current.exists():
                replace_file(self.path / (name + BACKUP_SUFFIX), current.read_bytes(), mode=_FILE_MODE)
            staged.replace(current)
            sync_directory(self.path)
        except OSError as exc:
            raise _unwritable(current, exc) from exc

    def unstage(self, name: str) -> None:
        """Remove a staged certificate that will never be accepted. Raises KeyStoreError `pki-directory-unwritable`."""
        staged = self.path / (name + STAGED_SUFFIX)
        try:
            staged.unlink(missing_ok=True)
        except OSError as exc:
            raise _unwritable(staged, exc) from exc

    def files(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        return tuple(sorted(entry.name for entry in self.path.iterdir() if entry.is_file()))

    def exposed_keys(self) -> tuple[str, ...]:
        """Return the names of key files that others than their owner may read."""
        return tuple(name for name in self.files() if name.endswith(KEY_SUFFIX) and _open_to_others(self.path / name))


def key_label(certificate_name: str) -> str:
    """Return the label of the key that goes with `x.pem`."""
    return certificate_name.removesuffix(CERTIFICATE_SUFFIX)


def _on_token(hsm: HsmKeys, label: str) -> str:
    return f"{label} on the token {hsm.token_label!r}"


def _key_of_another(key: str, file: str, directory: Path) -> KeyStoreError:
    return KeyStoreError(
        "key-exists",
        f"There is a key {key} already, and no {file} in {directory} that belongs to it. If it serves another CA, use "
        "another token or label; if a run that was cut left it, delete it with pkcs11-tool.",
    )


def read_text(path: Path) -> str | None:
    """Read a PEM file of reasonable size; None if there is none.

    Raises:
        InvalidInputError: `file-unreadable`.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise InvalidInputError("file-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc
    if len(content) > _MAX_BYTES:
        raise InvalidInputError("file-unreadable", f"{path} is far too large for what it should hold.")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise InvalidInputError("file-unreadable", f"{path} is not a text file.") from exc


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    path.mkdir(parents=True)
    path.chmod(_DIRECTORY_MODE)  # whatever the umask


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise ConflictError("pki-directory-busy", f"Another run is at work in {path}.") from exc


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _unwritable(path: Path, exc: OSError) -> KeyStoreError:
    return KeyStoreError("pki-directory-unwritable", f"{path} cannot be written: {exc.strerror}.")
