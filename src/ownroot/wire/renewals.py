"""Shapes of what an owner says about renewals. This part of the API is ours; no other client knows it."""

from typing import Annotated

import msgspec

from ownroot.wire.documents import read_document


class RecoveryForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many days after the end of its certificate a device may renew it; 0: never."""

    max_expired_days: Annotated[int, msgspec.Meta(ge=0, le=3650)]


class RecoveryPolicyObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is in force. `set_by` (polis-id) and `set_at` (RFC 3339) are null while nobody has said anything."""

    factory: str
    max_expired_days: int
    set_by: str | None = None
    set_at: str | None = None


def parse_recovery_form(body: bytes) -> RecoveryForm:
    """Read what an owner decided. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, RecoveryForm)
