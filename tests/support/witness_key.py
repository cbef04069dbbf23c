"""A CA key that looks into the database whenever it is used, as an auditor beside the HSM would."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError
from ownroot.pki.signer import PrivateKey
from ownroot.services.backend_keys import Keyring, Sealer
from ownroot.services.records import Issuance, SealedKey, SealedKeyPurpose
from tests.support.registering import RegistrationWorld


class WitnessKey(ec.EllipticCurvePrivateKey):
    """A CA key that looks into the database whenever it is used, as an auditor beside the HSM would."""

    def __init__(self, key: PrivateKey) -> None:
        self.key = key
        self.world: RegistrationWorld | None = None
        self.seen: list[list[Issuance]] = []
        self.fails = False

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if self.world is not None:
            self.seen.append(self.world.open_intents())
        if self.fails:
            raise KeyStoreError("token-gone", "The token was pulled.")
        return self.key.sign(data, signature_algorithm)

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.key.curve

    @property
    def key_size(self) -> int:
        return self.key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.key.public_key()

    def exchange(self, *arguments: Any) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(self, *arguments: Any) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> "WitnessKey":
        return self

    def __deepcopy__(self, memo: Any) -> "WitnessKey":
        return self


class WitnessKeyring(Keyring):
    """Opens every key as a witness."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.last: WitnessKey | None = None

    def make(self, purpose: SealedKeyPurpose) -> tuple[PrivateKey, SealedKey]:
        return self._keyring.make(purpose)

    def open(self, sealed: SealedKey) -> PrivateKey:
        self.last = WitnessKey(self._keyring.open(sealed))
        return self.last

    def sealer(self, purpose: SealedKeyPurpose) -> Sealer:
        return self._keyring.sealer(purpose)
