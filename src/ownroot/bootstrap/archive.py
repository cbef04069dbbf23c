"""The archive of a backup: a tar file of exactly three members, in one form.

Any tar program reads it. We do not read tar files: each header must be, byte for byte, the one we would have written,
so names that lead elsewhere, links, repeated or further members cannot even be asked for.
"""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ownroot.bootstrap.backup_manifest import altered
from ownroot.errors import InvalidInputError

MANIFEST: Final = "manifest.json"
CODE: Final = "manifest.mac"
DATABASE: Final = "ownroot.db"

_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_END: Final = bytes(2 * _BLOCK)
_CODE_BYTES: Final = 64
_MANIFEST_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest as it stands in an archive; nothing of it is verified."""

    manifest: bytes
    code: bytes


def write_archive(archive: BinaryIO, signed: SignedManifest, database: Path) -> None:
    """Write all members. The database is a file that nobody uses."""
    for name, content in ((MANIFEST, signed.manifest), (CODE, signed.code)):
        archive.write(_header(name, len(content)) + content + _padding(len(content)))
    size = database.stat().st_size
    archive.write(_header(DATABASE, size))
    with database.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            archive.write(chunk)
    archive.write(_padding(size) + _END)


def read_manifest(archive: BinaryIO) -> SignedManifest:
    """Read the first two members.

    Raises:
        InvalidInputError: `backup-malformed`.
    """
    size = _size_in(archive, MANIFEST)
    if size > _MANIFEST_MOST_BYTES:
        raise _malformed(MANIFEST)
    manifest = _content(archive, MANIFEST, size)
    _expect(archive, CODE, _header(CODE, _CODE_BYTES))
    return SignedManifest(manifest, _content(archive, CODE, _CODE_BYTES))


def read_database(archive: BinaryIO, target: BinaryIO, *, size: int, sha256: str) -> None:
    """Copy the last member; the archive must end behind it.

    Args:
        size, sha256: of the verified manifest. No more than this is read or written.
    Raises:
        InvalidInputError: `backup-malformed`.
        RefusedError: `backup-altered`.
    """
    _expect(archive, DATABASE, _header(DATABASE, size))
    digest, left = hashlib.sha256(), size
    while left:
        chunk = archive.read(min(left, _CHUNK))
        if not chunk:
            raise _malformed(DATABASE)
        digest.update(chunk)
        target.write(chunk)
        left -= len(chunk)
    _expect(archive, DATABASE, _padding(size) + _END)
    if archive.read(1):
        raise _malformed("its end")
    if digest.hexdigest() != sha256:
        raise altered("its database")


def _size_in(archive: BinaryIO, name: str) -> int:
    header = archive.read(_BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(header, "ascii", "strict").size
    except (tarfile.TarError, ValueError) as exc:
        raise _malformed(name) from exc
    if size < 0 or header != _header(name, size):
        raise _malformed(name)
    return size


def _content(archive: BinaryIO, name: str, size: int) -> bytes:
    content = archive.read(size)
    if len(content) != size:
        raise _malformed(name)
    _expect(archive, name, _padding(size))
    return content


def _expect(archive: BinaryIO, name: str, wanted: bytes) -> None:
    if archive.read(len(wanted)) != wanted:
        raise _malformed(name)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _malformed(where: str) -> InvalidInputError:
    return InvalidInputError(
        "backup-malformed",
        f"This is not a whole archive as `ownroot backup` writes it; the fault is at {where}. Nothing was put in "
        "place. If it was copied, copy it again; if it was unpacked and packed anew, use the original.",
    )
