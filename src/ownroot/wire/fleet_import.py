"""Shapes of a fleet's import; our own, no client of the protocol knows it (docs/wire)."""

from typing import Annotated

import msgspec

MAX_DEVICES = 200


class ImportForm(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """One device: its certificate as PEM, or its public key (SubjectPublicKeyInfo as PEM)."""

    uuid: str
    certificate: str | None = None
    public_key: str | None = None
    name: str | None = None
    group: str | None = None
    production: bool = False


class ImportList(msgspec.Struct, frozen=True, kw_only=True):
    """One batch."""

    devices: Annotated[tuple[ImportForm, ...], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]


class ImportResult(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """What became of one device: `pinned`, `known` or `refused`, the last with a stable code and a sentence."""

    uuid: str
    outcome: str
    code: str | None = None
    detail: str | None = None


class ImportReply(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each device of the batch, in its order."""

    results: tuple[ImportResult, ...]
