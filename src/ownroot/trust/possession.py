"""Evidence that whoever sends a change holds the factory root key now.

A certificate can be copied, a fresh signature cannot: the backend makes a key, keeps it pending for a while, and only
the holder of the root key can return a certificate for it. So a pending key is the challenge and the signed certificate
is the answer. It expires, it works for one purpose, and an abandoned one never disturbs the keys in service.

Source: protocol api.md §3.2 (server rules) and §3.4, steps 4 to 6.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class KeyKind(StrEnum):
    """What a backend key was made for; a certificate of another kind never activates it."""

    TLS = "tls"
    EST = "est"
    ONLINE_CA = "online-ca"


@dataclass(frozen=True, slots=True)
class PendingKey:
    """A key the backend made and handed out a CSR for; its certificate has not arrived yet.

    Attributes:
        spki_sha256: SHA-256 of the DER SubjectPublicKeyInfo; identifies the key everywhere.
        dns_names: names the CSR asked for, lower-case; the certificate must carry exactly these. Empty for a CA.
        expires_at: from this second on the key counts for nothing.
    """

    kind: KeyKind
    spki_sha256: bytes
    dns_names: tuple[str, ...]
    created_at: datetime
    expires_at: datetime

    def is_live(self, now: datetime) -> bool:
        return now < self.expires_at


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated user who sends a change; that they may manage the PKI was checked before."""

    polis_id: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What surrounds a change: the keys we handed out, who asks, and who belongs to the factory.

    Attributes:
        pending: every pending key of this factory; expired ones may be among them and are told apart here.
        member_ids: polis-ids of the factory's members, for the ownership of local device CAs.
    """

    pending: tuple[PendingKey, ...]
    actor: Actor
    member_ids: frozenset[str]

    def find_pending(self, kind: KeyKind, spki_sha256: bytes) -> PendingKey | None:
        """The pending key of this kind, live or expired; the caller asks `is_live`."""
        return next((key for key in self.pending if key.kind is kind and key.spki_sha256 == spki_sha256), None)
