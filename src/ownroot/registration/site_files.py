"""Where a site's certificates and key lie: in a PKI directory as `ownroot keys ca create` makes it, or one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from ownroot.errors import InvalidInputError, KeyStoreError
from ownroot.keystore.file import load_key
from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from ownroot.pki.encoding import parse_certificate
from ownroot.pki.signer import PrivateKey
from ownroot.registration.site import SiteParts

ROOT_FILE = "factory_ca.pem"
CA_FILE = "local-ca.pem"
CA_KEY_FILE = "local-ca.key"
TLS_FILE = "tls-crt"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """The local CA's key on a token (PKCS#11)."""

    module: Path
    token_label: str
    key_label: str
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFiles:
    """The files of a site. With `token`, `ca_key` is not looked at."""

    root: Path
    ca: Path
    ca_key: Path
    tls: Path
    token: TokenKey | None = None
    gateway_port: int = 8443

    @contextmanager
    def opened(self) -> Iterator[SiteParts]:
        """Read them; a token stays open for the length of the block.

        Raises:
            InvalidInputError: `file-unreadable`, or what is wrong with a certificate, by its file.
            KeyStoreError: the key cannot be used.
        """
        with self._key() as (key, key_name):
            yield SiteParts(
                root=_certificate(self.root),
                ca=_certificate(self.ca),
                ca_key=key,
                tls=_certificate(self.tls),
                root_name=str(self.root),
                ca_name=str(self.ca),
                key_name=key_name,
                tls_name=str(self.tls),
                gateway_port=self.gateway_port,
            )

    @contextmanager
    def _key(self) -> Iterator[tuple[PrivateKey, str]]:
        if self.token is None:
            yield load_key(_read(self.ca_key), where=str(self.ca_key)), str(self.ca_key)
            return
        token = self.token
        store = Pkcs11KeyStore(token.module, token.token_label, token.pin)
        try:
            key = store.find(token.key_label)
            if key is None:
                raise KeyStoreError(
                    "local-ca-key-missing", f"There is no key {token.key_label!r} on the token {token.token_label!r}."
                )
            yield key, f"{token.key_label} on the token {token.token_label!r}"
        finally:
            store.close()


def _certificate(path: Path) -> x509.Certificate:
    try:
        return parse_certificate(_read(path).decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise InvalidInputError("file-unreadable", f"{path} is not a text file.") from exc
    except InvalidInputError as exc:
        raise InvalidInputError(exc.code, f"{path}: {exc.detail}") from exc


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES)
    except OSError as exc:
        raise InvalidInputError("file-unreadable", f"{path} cannot be read: {exc.strerror}.") from exc
