"""The server's TUF keys: made here, sealed at rest, opened to sign and for nothing else.

A key that was replaced is gone: its row is overwritten or dropped in the transaction that publishes its successor.
"""

from collections.abc import Mapping

from ownroot.errors import KeyStoreError
from ownroot.services.backend_keys import Keyring
from ownroot.services.ports import UnitOfWork
from ownroot.services.records import SealedKeyPurpose
from ownroot.services.tuf_store import SealedTufKey
from ownroot.tuf.canonical import decode, encode
from ownroot.tuf.keys import KeyType, TufSigner, generate_signer, parse_signer
from ownroot.tuf.metadata import ONLINE_ROLES, Role
from ownroot.tuf.repository import OnlineSigners

_MAX_OCTETS = 16 * 1024


def make_key(role: Role, keyring: Keyring, keytype: KeyType = KeyType.ED25519) -> tuple[TufSigner, SealedTufKey]:
    """Make a key for a role; it exists only in memory until the sealed form is stored."""
    signer = generate_signer(keytype)
    key_id = signer.key.key_id
    sealed = keyring.sealer(SealedKeyPurpose.TUF).seal(encode(signer.document()), bound_to=_binding(key_id))
    return signer, SealedTufKey(role, key_id, sealed)


def open_signer(sealed: SealedTufKey, keyring: Keyring) -> TufSigner:
    """Return a private key.

    Raises:
        KeyStoreError: `sealed-unreadable`, `key-purpose`.
    """
    private = keyring.sealer(SealedKeyPurpose.TUF).open(sealed.sealed, bound_to=_binding(sealed.key_id))
    signer = parse_signer(decode(private, max_octets=_MAX_OCTETS))
    if signer.key.key_id != sealed.key_id:
        raise KeyStoreError("sealed-unreadable", "A stored TUF key is not the one its entry names.")
    return signer


def online_signers(uow: UnitOfWork, factory_id: int, keyring: Keyring, *, staged: bool = False) -> OnlineSigners:
    """Return the keys of the online roles; with `staged`, those of a change under way where it has others.

    Raises:
        KeyStoreError: `tuf-key-missing`; as `open_signer`.
    """
    sealed: dict[Role, SealedTufKey] = dict(uow.tuf.keys(factory_id, staged=False))
    if staged:
        sealed |= uow.tuf.keys(factory_id, staged=True)
    return {role: open_signer(_require(sealed, role), keyring) for role in ONLINE_ROLES}


def _binding(key_id: str) -> bytes:
    return b"tuf-key:" + key_id.encode("ascii")


def _require(sealed: Mapping[Role, SealedTufKey], role: Role) -> SealedTufKey:
    found = sealed.get(role)
    if found is None:
        raise KeyStoreError(
            "tuf-key-missing", f"The server's {role} key of this factory's TUF repository is not there."
        )
    return found
