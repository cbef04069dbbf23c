"""Shapes of devices held for review after a restore. This part of the API is ours; no other client knows it.

A key is named by its hash: SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits.
"""

from typing import Annotated, Final

import msgspec

from ownroot.wire.documents import read_document

MOST_VERDICTS: Final = 200
"""How many keys one request may judge: they are one transaction."""

KeySha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class HeldDeviceObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """A held device.

    Attributes:
        ca_serial: of the device CA that signed its certificate, decimal.
        owner: polis-id of who would own it.
        not_before: when its certificate began; like `first_seen` and `last_seen` RFC 3339.
        replaces_key: its uuid is known with another key, which accepting this one would end.
    """

    uuid: str
    factory: str
    key_sha256: KeySha256
    ca_serial: str
    owner: str
    not_before: str
    first_seen: str
    last_seen: str
    replaces_key: bool


class HeldDeviceList(msgspec.Struct, frozen=True, kw_only=True):
    """One page of held devices. `total` counts all pages; `next` is an absolute URL or null."""

    held: tuple[HeldDeviceObject, ...]
    total: int
    next: str | None = None


class HeldKeyObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Names one entry."""

    uuid: str
    key_sha256: KeySha256


class HeldVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """The entries to accept or to refuse; never "all", so that nothing is judged that nobody has seen."""

    held: Annotated[tuple[HeldKeyObject, ...], msgspec.Meta(min_length=1, max_length=MOST_VERDICTS)]


class HeldOutcome(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What became of one verdict; `code` and `message` say why it was not carried out."""

    uuid: str
    key_sha256: KeySha256
    done: bool
    code: str | None = None
    message: str | None = None


class HeldReview(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes, in the order of the verdicts."""

    outcomes: tuple[HeldOutcome, ...]


def parse_held_verdicts(body: bytes) -> HeldVerdicts:
    """Read verdicts. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, HeldVerdicts)
