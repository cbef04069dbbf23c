"""Keys of roles: what they look like, what they are called, and what they sign (protocol: tuf.md §2.1).

A key id is the SHA-256 of the key's DER SubjectPublicKeyInfo. It is always computed, never believed.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import sha256, spki_der
from ownroot.tuf.canonical import Json

_RSA_BITS: Final = (2048, 3072, 4096)  # the sizes every device reads
_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
_SEED_DIGITS: Final = 64

PublicHalf: TypeAlias = ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateHalf: TypeAlias = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


class KeyType(StrEnum):
    """The types that both kinds of devices can at least read; any other type in a root locks one kind out."""

    ED25519 = "ED25519"
    RSA = "RSA"

    @property
    def method(self) -> str:
        """The name of its signatures."""
        return "ed25519" if self is KeyType.ED25519 else "rsassa-pss-sha256"


@dataclass(frozen=True)
class TufKey:
    """A public key. Equality is that of the text a document shows, so that a document can be compared by its keys.

    Attributes:
        public: Ed25519: 64 lower-case hex digits; RSA: PEM of the SubjectPublicKeyInfo with its last newline.
    """

    keytype: KeyType
    public: str

    @cached_property
    def key_id(self) -> str:
        """64 lower-case hex digits."""
        return sha256(spki_der(self._half)).hex()

    @cached_property
    def _half(self) -> PublicHalf:
        return _load_public(self.keytype, self.public)

    def document(self) -> dict[str, Json]:
        """Return the key as documents show it."""
        return {"keytype": self.keytype.value, "keyval": {"public": self.public}}

    def has_signed(self, payload: bytes, method: str, signature: bytes) -> bool:
        """Is this a signature by this key, made with its own method?"""
        if method != self.keytype.method:
            return False
        half = self._half
        try:
            if isinstance(half, ed25519.Ed25519PublicKey):
                half.verify(signature, payload)
            else:
                half.verify(signature, payload, _PSS, hashes.SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class TufSigner:
    """A private key, in memory or on a token, with the public one it belongs to."""

    key: TufKey
    _half: PrivateHalf

    @classmethod
    def of(cls, half: PrivateHalf) -> "TufSigner":
        """Return the signer of a private key, which may be one that never leaves its token."""
        keytype = KeyType.ED25519 if isinstance(half, ed25519.Ed25519PrivateKey) else KeyType.RSA
        return cls(TufKey(keytype, _public_text(half.public_key())), half)

    def sign(self, payload: bytes) -> bytes:
        """Sign with the method of the key's type."""
        if isinstance(self._half, ed25519.Ed25519PrivateKey):
            return self._half.sign(payload)
        return self._half.sign(payload, _PSS, hashes.SHA256())

    def document(self) -> dict[str, Json]:
        """Return the private key as an owner's key files hold it. Secret."""
        if isinstance(self._half, ed25519.Ed25519PrivateKey):
            private = self._half.private_bytes_raw().hex()
        else:
            private = self._half.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ).decode("ascii")
        return {"keytype": self.key.keytype.value, "keyval": {"private": private}}


def generate_signer(keytype: KeyType) -> TufSigner:
    """Make a key in memory; RSA keys have 4096 bits."""
    if keytype is KeyType.ED25519:
        return TufSigner.of(ed25519.Ed25519PrivateKey.generate())
    return TufSigner.of(rsa.generate_private_key(public_exponent=65537, key_size=4096))


def parse_key(document: Json) -> TufKey:
    """Read a public key.

    Raises:
        InvalidInputError: `tuf-key-private`: it holds a private key; `tuf-key-invalid`: anything else that is not the
            one way every reader writes such a key.
    """
    keytype, values = _parts(document)
    if "private" in values:
        raise InvalidInputError("tuf-key-private", "A private key was sent in place of a public one. It is leaked now.")
    public = values.get("public")
    if set(values) != {"public"} or not isinstance(public, str):
        raise _invalid("`keyval` must hold `public` and nothing else")
    half = _load_public(keytype, public)
    if _public_text(half) != public:
        raise _invalid("the key is not written in the one form every reader writes (PEM with its last newline)")
    return TufKey(keytype, public)


def parse_signer(document: Json) -> TufSigner:
    """Read a private key of an owner's key file.

    Raises:
        InvalidInputError: `tuf-key-invalid`.
    """
    keytype, values = _parts(document)
    private = values.get("private")
    if not isinstance(private, str):
        raise _invalid("`keyval.private` is missing")
    return TufSigner.of(_load_private(keytype, private))


def _parts(document: Json) -> tuple[KeyType, dict[str, Json]]:
    if not isinstance(document, dict) or set(document) != {"keytype", "keyval"}:
        raise _invalid("a key is an object of `keytype` and `keyval`")
    keytype, values = document["keytype"], document["keyval"]
    if keytype not in [known.value for known in KeyType]:
        raise _invalid("`keytype` must be ED25519 or RSA, in capitals")
    if not isinstance(values, dict):
        raise _invalid("`keyval` must be an object")
    return KeyType(keytype), values


def _load_public(keytype: KeyType, text: str) -> PublicHalf:
    try:
        if keytype is KeyType.ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
        half = serialization.load_pem_public_key(text.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise _invalid("the public key cannot be read") from exc
    if not isinstance(half, rsa.RSAPublicKey) or half.key_size not in _RSA_BITS:
        raise _invalid("an RSA key has 2048, 3072 or 4096 bits; devices read no other")
    return half


def _load_private(keytype: KeyType, text: str) -> PrivateHalf:
    try:
        if keytype is KeyType.ED25519:
            # Some programs write the public key behind the seed.
            return ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text[:_SEED_DIGITS]))
        half = serialization.load_pem_private_key(text.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise _invalid("the private key cannot be read") from exc
    if not isinstance(half, rsa.RSAPrivateKey) or half.key_size not in _RSA_BITS:
        raise _invalid("an RSA key has 2048, 3072 or 4096 bits; devices read no other")
    return half


def _public_text(half: PublicHalf) -> str:
    if isinstance(half, ed25519.Ed25519PublicKey):
        return half.public_bytes_raw().hex()
    return half.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(
        "ascii"
    )


def _invalid(reason: str) -> InvalidInputError:
    return InvalidInputError("tuf-key-invalid", f"Not a key that devices can use: {reason}.")
