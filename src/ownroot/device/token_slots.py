"""Both identities of a device on its token: two places for a key and two for a certificate, used in turn.

`sota.toml` names the places in use, so replacing that one file is the moment of change here too. What lies in the other
places is the next identity, or what another program's renewal left there.

Source: gateway.md §7.2 (the ids), registration.md §7.3 (`client.pem` stays a file besides).
"""

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from ownroot.client.credentials import TokenCredentials
from ownroot.device.files import CERTIFICATE_FILE, CHAIN_FILE, PRIVATE_MODE, SETTINGS_FILE, write_private
from ownroot.device.identity import certificate_in, read_token_certificate
from ownroot.device.identity_slots import NEXT_CHAIN_FILE, read_settings, writing
from ownroot.keystore.device_slots import DeviceSlots
from ownroot.keystore.durable import replace_file, sync_directory
from ownroot.keystore.labels import DEVICE_CERTIFICATE_IDS, DEVICE_KEY_IDS
from ownroot.pki.encoding import certificate_der, certificate_pem, subject_der
from ownroot.pki.signer import PrivateKey
from ownroot.wire.sota_edit import replace_values

_SECTION: Final = "p11"


class _Places(NamedTuple):
    key: bytes
    certificate: bytes

    @property
    def settings(self) -> dict[str, str]:
        return {"tls_pkey_id": self.key.hex(), "tls_clientcert_id": self.certificate.hex()}


class TokenSlots:
    """The slots of a device whose present identity is this one. A next key never leaves the token, as no key does.

    Args:
        token: opened; whoever opened it closes it.
    """

    def __init__(self, directory: Path, present: TokenCredentials, token: DeviceSlots) -> None:
        self._directory = directory
        self._token = token
        self._present = _Places(present.key_id, present.certificate_id)
        self._next = _Places(
            _other(DEVICE_KEY_IDS, present.key_id), _other(DEVICE_CERTIFICATE_IDS, present.certificate_id)
        )
        self._next_chain = directory / NEXT_CHAIN_FILE

    def find_or_create_next_key(self) -> PrivateKey:
        return self._token.find_or_create_key(self._next.key)

    def keys(self) -> tuple[PrivateKey, ...]:
        found = self._token.find_keys(self._next.key, self._present.key)
        return tuple(key for key in found if key is not None)

    def require_switchable(self) -> None:
        self._settings()

    def other_certificate(self) -> x509.Certificate | None:
        found = self._token.read_certificate(self._next.certificate)
        return None if found is None else read_token_certificate(found, self._next.certificate)

    def make_room(self) -> None:
        self.discard_next()

    def keep(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        write_private(self._next_chain, certificate_pem(certificate) + certificate_pem(issuer))
        self._token.write_certificate(
            self._next.certificate, certificate_der(certificate), subject=subject_der(certificate)
        )

    def switch(self) -> None:
        write_private(self._directory / SETTINGS_FILE, self._settings())

    def settle(self) -> None:
        if not self._is_next_in_use():
            return  # somebody has led the device back; which identity the gateway wants is not ours to guess
        self._copy_over()
        self._token.destroy(*self._present)
        self._forget_chain()

    def discard_next(self) -> None:
        if self._is_next_in_use():
            return
        self._token.destroy(*self._next)
        self._forget_chain()

    def _copy_over(self) -> None:
        certificate = certificate_in(self._token, self._next.certificate)
        write_private(self._directory / CERTIFICATE_FILE, certificate_pem(certificate))
        if self._next_chain.exists():
            target = self._directory / CHAIN_FILE
            with writing(target):
                replace_file(target, self._next_chain.read_bytes(), mode=PRIVATE_MODE)

    def _forget_chain(self) -> None:
        with writing(self._next_chain):
            self._next_chain.unlink(missing_ok=True)
            sync_directory(self._directory)

    def _is_next_in_use(self) -> bool:
        section = tomllib.loads(read_settings(self._directory)).get(_SECTION, {})
        return isinstance(section, dict) and section.get("tls_pkey_id") == self._next.key.hex()

    def _settings(self) -> str:
        return replace_values(read_settings(self._directory), _SECTION, self._next.settings)


def _other(places: tuple[bytes, bytes], present: bytes) -> bytes:
    """Return the place to use next. From an id of somebody else's choice it is the second, as in the field."""
    return places[0] if present == places[1] else places[1]
