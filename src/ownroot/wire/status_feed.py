"""The status feed: a factory's device CAs and devices as they stand, signed for those who pinned its root.

Ours, no client of the protocol knows it (docs/wire). What is signed is text of ours followed by the octets of the
payload, so the payload is carried as it was signed and never written again.
"""

import base64
import binascii
from typing import Final, Literal

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.wire.documents import read_document, write_document

FORMAT: Final = "ownroot-status-1"
# The gateway's TLS key signs feeds too. TLS 1.3 signs 64 spaces first, TLS 1.2 the client's 32 octets and then 32 of
# the server's own: neither begins with these 64 octets, so no handshake yields a feed and no feed a handshake.
SIGNED_CONTEXT: Final = b"ownroot status feed, version 1; this is not a TLS handshake.".ljust(64, b"\0")


class FeedCa(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One device CA (PEM). A revoked one is there so that its devices hear why."""

    certificate: str
    standing: Literal["enabled", "disabled", "revoked"]
    changed_at: int = 0


class FeedDevice(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """One device. `key` and `next_key`: SHA-256 of the SubjectPublicKeyInfo in hex, of known ones alone."""

    uuid: str
    state: Literal["known", "denied", "gone"]
    key: str | None = None
    next_key: str | None = None


class StatusFeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The payload. Times are Unix seconds.

    Attributes:
        since, after: what was asked for, so that no other answer can be put in its place. `since` None: this is a page
            of a snapshot, because none was asked for or too much is forgotten.
        next: where the next page begins; None: this is the last.
        generation: up to which changes are in `devices`; ask for what came `since`.
    """

    format: str
    factory: str
    generation: int
    issued_at: int
    expires_at: int
    device_cas: tuple[FeedCa, ...]
    devices: tuple[FeedDevice, ...]
    since: int | None = None
    after: str | None = None
    next: str | None = None


class SignedFeed(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is sent. `payload` and `signature` are base64; `certificate`, PEM, is that of the key that signed."""

    payload: str
    signature: str
    certificate: str


def write_feed(feed: StatusFeed) -> bytes:
    """Return the payload's octets."""
    return write_document(feed)


def signed_octets(payload: bytes) -> bytes:
    """Return what the signature is over."""
    return SIGNED_CONTEXT + payload


def encode_base64(octets: bytes) -> str:
    """Write octets as the members of `SignedFeed` hold them."""
    return base64.b64encode(octets).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Read a member of `SignedFeed`.

    Raises:
        InvalidInputError: `bad-base64`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInputError("bad-base64", "A member of the status feed is not base64.") from exc


def parse_feed(payload: bytes) -> StatusFeed:
    """Read a payload whose signature was verified.

    Raises:
        InvalidInputError: as `documents.read_document`; `status-feed-format`.
    """
    feed = read_document(payload, StatusFeed)
    if feed.format != FORMAT:
        raise InvalidInputError("status-feed-format", "The status feed has a format this version does not know.")
    return feed
