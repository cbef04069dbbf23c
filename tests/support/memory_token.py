"""A token in memory: keeps the contract of `services.token_keys.TokenKeys`, and can be pulled out."""

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ownroot.errors import KeyStoreError, UnavailableError
from ownroot.pki.signer import PrivateKey, PublicKey, generate_key
from tests.support.witness_key import WitnessKey


@dataclass(slots=True)
class MemoryToken:
    """Keys by id, with their labels."""

    objects: dict[bytes, tuple[str, PrivateKey]] = field(default_factory=dict)
    is_away: bool = False

    def create(self, key_id: bytes, label: str) -> PublicKey:
        self._ask()
        key = generate_key()
        self.objects[key_id] = (label, key)
        return key.public_key()

    def open(self, key_id: bytes, label: str, public_key: PublicKey) -> PrivateKey:
        return _MemoryKey(self, key_id, label, public_key)

    def ids(self, prefix: str) -> frozenset[bytes]:
        self._ask()
        return frozenset(key_id for key_id, (label, _) in self.objects.items() if label.startswith(prefix))

    def destroy(self, key_id: bytes, prefix: str) -> None:
        if key_id in self.ids(prefix):
            del self.objects[key_id]

    def require(self, key_id: bytes | None) -> None:
        self._ask()
        if key_id is not None and key_id not in self.objects:
            raise KeyStoreError("key-gone", "A key in service is not on the token any more.")

    def find(self, key_id: bytes, label: str) -> PrivateKey:
        """Return the key itself, for signing."""
        self._ask()
        found = self.objects.get(key_id)
        if found is None or found[0] != label:
            raise KeyStoreError("key-gone", "The key is not on the token any more.")
        return found[1]

    def _ask(self) -> None:
        if self.is_away:
            raise UnavailableError("token-gone", "The token does not answer.", retry_after=1)


class _MemoryKey(WitnessKey):
    """Looks for its key whenever it signs."""

    def __init__(self, token: MemoryToken, key_id: bytes, label: str, public_key: PublicKey) -> None:
        self._token, self._id, self._label, self._public_key = token, key_id, label, public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        key = self._token.find(self._id, self._label)
        if key.public_key() != self._public_key:
            raise KeyStoreError("key-mismatch", "The key on the token is not the one that the certificate names.")
        return key.sign(data, signature_algorithm)

    def public_key(self) -> PublicKey:
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        return self._public_key.key_size
