"""Shapes of what an owner says about copied device keys. This part of the API is ours; no other client knows it."""

from typing import Literal, TypeAlias

import msgspec

from ownroot.wire.documents import read_document

OnSuspicion: TypeAlias = Literal["tell", "quarantine"]


class ClonePolicyForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What follows when a device's key seems to be copied: tell its owner, or refuse the device as well."""

    on_suspicion: OnSuspicion


class ClonePolicyObject(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is in force. `set_by` (polis-id) and `set_at` (RFC 3339) are null while nobody has said anything."""

    factory: str
    on_suspicion: OnSuspicion
    set_by: str | None = None
    set_at: str | None = None


class QuarantineForm(msgspec.Struct, frozen=True, kw_only=True):
    """Why a device shall be refused; one line, may be empty."""

    reason: str = ""


def parse_clone_policy_form(body: bytes) -> ClonePolicyForm:
    """Read what an owner decided. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, ClonePolicyForm)


def parse_quarantine_form(body: bytes) -> QuarantineForm:
    """Read a reason; an empty body gives none. Raises InvalidInputError `bad-json`, `json-not-object`, `bad-field`."""
    return read_document(body, QuarantineForm) if body else QuarantineForm()
