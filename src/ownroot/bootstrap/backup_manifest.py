"""What a backup says of itself, and how the key-encryption key vouches for it. Values only; no files.

The code of a manifest binds its exact bytes to the key-encryption key, and the manifest binds the database by hash. So
who can write where backups lie, and does not hold that key, cannot change what a restore puts in place.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Annotated, Final

import msgspec

from ownroot.errors import InvalidInputError, KeyStoreError, RefusedError
from ownroot.keystore.kek import Kek

FORMAT: Final = 1
_MAC_PURPOSE: Final = "backup-manifest"
_CHECK_PURPOSE: Final = "backup-check"

Natural = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """`manifest.json` of a backup.

    `made_at`: before the copy was begun; the copy holds everything answered until then. `schema`: revision of the
    database. `audit_size`, `audit_root`: head of the audit log. `kek_check`: tells which key-encryption key belongs to
    the backup and nothing about it.
    """

    format: int = FORMAT
    program: str
    schema: str
    made_at: datetime
    database_bytes: Natural
    database_sha256: Sha256
    audit_size: Natural
    audit_root: Sha256
    trust_generation: Natural
    devices: Natural
    kek_check: Sha256


class _Format(msgspec.Struct):
    format: int


class _Check(msgspec.Struct, rename="kebab"):
    kek_check: str


def kek_check(kek: Kek) -> str:
    """Return the value by which a key-encryption key is recognised, hex; the key does not follow from it."""
    return hashlib.sha256(kek.sub_key(_CHECK_PURPOSE)).hexdigest()


def encode(manifest: BackupManifest) -> bytes:
    """Return the file's content."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def code_of(manifest: bytes, kek: Kek) -> bytes:
    """Return the authentication code of a manifest: HMAC-SHA256, hex."""
    return hmac.digest(kek.sub_key(_MAC_PURPOSE), manifest, "sha256").hex().encode()


def open_manifest(manifest: bytes, code: bytes, kek: Kek) -> BackupManifest:
    """Check a manifest's code, and only then believe what it says.

    Raises:
        KeyStoreError: `backup-other-kek`.
        RefusedError: `backup-altered`.
        InvalidInputError: `backup-format-unknown`.
    """
    if not hmac.compare_digest(code, code_of(manifest, kek)):
        raise _other_kek() if _names_other_kek(manifest, kek) else altered("its manifest")
    try:
        if msgspec.json.decode(manifest, type=_Format).format == FORMAT:
            return msgspec.json.decode(manifest, type=BackupManifest)
    except msgspec.MsgspecError:
        pass  # the key vouches for it, so it was made by a version that writes otherwise
    raise InvalidInputError(
        "backup-format-unknown", "This backup has a form that this version of Ownroot does not know. Use a later one."
    )


def altered(what: str) -> RefusedError:
    """Return what to say of a backup that is not what was written."""
    return RefusedError(
        "backup-altered",
        f"This backup is not as it was made: {what} was changed or damaged. Nothing was put in place. Use another "
        "backup, and find out who can write where this one lay.",
    )


def _names_other_kek(manifest: bytes, kek: Kek) -> bool:
    """Only decides which refusal is the helpful one."""
    try:
        return msgspec.json.decode(manifest, type=_Check).kek_check != kek_check(kek)
    except msgspec.MsgspecError:
        return False


def _other_kek() -> KeyStoreError:
    return KeyStoreError(
        "backup-other-kek",
        "This backup was made with another key-encryption key, so no private key in it could be opened. Bring the key "
        "of the server that made it; `kek-check` in its manifest.json is the one that `ownroot backup` printed.",
    )
