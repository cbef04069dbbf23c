"""A factory's TUF keys and documents, made by the rules of the page and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from ownroot.tuf.keys import KeyType, TufKey, TufSigner, generate_signer, parse_signer
from ownroot.tuf.metadata import (
    ONLINE_ROLES,
    Changelog,
    Document,
    KeyOwner,
    Role,
    RoleKeys,
    Root,
    new_snapshot,
    new_targets,
    new_timestamp,
)
from ownroot.tuf.signatures import sign

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)
CALLER = "0123456789abcdef01234567"
CHANGE = Changelog(CALLER, "Rotate a key", "2026-11-26T12:00:00Z")


def ed25519_signer(seed: int) -> TufSigner:
    """A key that is the same in every run."""
    return parse_signer({"keytype": "ED25519", "keyval": {"private": f"{seed:064x}"}})


@cache
def rsa_signer() -> TufSigner:
    """Making one takes a second."""
    return generate_signer(KeyType.RSA)


@dataclass(frozen=True)
class TufOwner:
    """Keys of one factory."""

    root: TufSigner = field(default_factory=lambda: ed25519_signer(1))
    targets: TufSigner = field(default_factory=lambda: ed25519_signer(2))
    snapshot: TufSigner = field(default_factory=lambda: ed25519_signer(3))
    timestamp: TufSigner = field(default_factory=lambda: ed25519_signer(4))

    @property
    def online(self) -> dict[Role, str]:
        signers = (self.targets, self.snapshot, self.timestamp)
        return {role: signer.key.key_id for role, signer in zip(ONLINE_ROLES, signers, strict=True)}

    def root_body(self, version: int = 1, **changes: object) -> Root:
        signers = (self.root, self.targets, self.snapshot, self.timestamp)
        body = Root(
            version=version,
            expires=NOW + timedelta(days=300),
            keys=MappingProxyType({signer.key.key_id: signer.key for signer in signers}),
            roles=MappingProxyType(
                {role: RoleKeys((signer.key.key_id,), 1) for role, signer in zip(Role, signers, strict=True)}
            ),
        )
        return replace(body, **changes)  # type: ignore[arg-type]

    def documents(self, version: int = 1, *, days: int = 30) -> tuple[bytes, bytes, bytes]:
        """Timestamp, snapshot and targets without a target."""
        expires = NOW + timedelta(days=days)
        targets = signed_document(new_targets(version, expires, {}), self.targets).encoded()
        snapshot_body = new_snapshot(version, expires, targets, targets_version=version)
        snapshot = signed_document(snapshot_body, self.snapshot).encoded()
        timestamp_body = new_timestamp(version, expires, snapshot, snapshot_version=version)
        return signed_document(timestamp_body, self.timestamp).encoded(), snapshot, targets


def signed_document(signed: Mapping[str, Any], *signers: TufSigner) -> Document:
    document = Document(dict(signed))
    return replace(document, signatures=tuple(sign(document.payload, signer) for signer in signers))


def signed_root(root: Root, *signers: TufSigner) -> Document:
    return signed_document(root.signed(), *signers)


def with_role(root: Root, role: Role, *keys: TufKey, threshold: int = 1, owner: str | None = None) -> Root:
    """The root with other keys in a role; `keys` of the root follow."""
    roles = {**root.roles, role: RoleKeys(tuple(key.key_id for key in keys), threshold)}
    named = {key_id for entry in roles.values() for key_id in entry.key_ids}
    known = {**root.keys, **{key.key_id: key for key in keys}}
    owners = {key_id: kept for key_id, kept in root.owners.items() if key_id in named}
    if owner is not None:
        owners |= {key.key_id: KeyOwner(owner, "2026-11-26T12:00:00Z") for key in keys if key.key_id not in root.keys}
    return replace(
        root,
        roles=MappingProxyType(roles),
        keys=MappingProxyType({key_id: known[key_id] for key_id in known if key_id in named}),
        owners=MappingProxyType(owners),
    )


def public_pem(key: TufKey) -> str:
    """The key as openssl reads it."""
    if key.keytype is KeyType.RSA:
        return key.public
    half = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public))
    return half.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
