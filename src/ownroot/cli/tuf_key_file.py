"""The file with an owner's offline TUF keys, as every client of this protocol lays it out (tuf.md §5.1).

A gzip tar of `tufrepo/keys/*.sec` and `*.pub`. Other members are kept as they are, so programs may take turns. We add
three kinds: the newest roots this owner has verified, which the next chain must lead on from; the newest version of
production targets they have verified, below which nothing is signed anew; and where a key is whose private half is on a
token.
"""

import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

from ownroot.errors import ConflictError, InvalidInputError, NotFoundError
from ownroot.pki.encoding import sha256
from ownroot.tuf.canonical import Json, decode, encode
from ownroot.tuf.keys import TufKey, TufSigner, parse_key, parse_signer
from ownroot.tuf.metadata import Role

MAX_OCTETS: Final = 4 * 1024 * 1024
FIRST_ROOT: Final = "tufrepo/keys/first-root"
_PREFIX: Final = "tufrepo/keys/fioctl"  # the name under which every client of this protocol looks
_PUBLIC: Final = ".pub"
_PRIVATE: Final = ".sec"
_PLACE: Final = ".hsm"
_KNOWN: Final = MappingProxyType({False: "tufrepo/known/ci-root.json", True: "tufrepo/known/prod-root.json"})
_KNOWN_TARGETS: Final = "tufrepo/known/prod-targets-version.json"
_KEY_NAME: Final = re.compile(r"tufrepo/keys/[A-Za-z0-9._-]{1,200}\.pub\Z", re.ASCII)
_MAX_MEMBERS: Final = 2000
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class OnToken:
    """Where the private half of a key is when it is not in the file."""

    token: str
    label: str


@dataclass(frozen=True)
class KeyFile:
    """The content of a key file; a change makes another one.

    Attributes:
        members: content by name.
    """

    members: Mapping[str, bytes]

    @cached_property
    def keys(self) -> Mapping[str, tuple[str, TufKey]]:
        """Every public key by its true id, with the name of its members (without suffix)."""
        found = {}
        for name in self.members:
            if _KEY_NAME.match(name):
                key = parse_key(self._json(name))
                found[key.key_id] = (name.removesuffix(_PUBLIC), key)
        return found

    @property
    def first_root(self) -> str | None:
        """The id of the first root key; None if it is not in this file."""
        return next((key_id for key_id, (stem, _) in self.keys.items() if stem == FIRST_ROOT), None)

    def private_half(self, key_id: str) -> TufSigner | OnToken | None:
        """Return a key's private half, or where it is; None if this file knows neither.

        Raises:
            InvalidInputError: `tuf-key-file-unusable`: it is there and does not belong to the public half.
        """
        if key_id not in self.keys:
            return None
        stem, key = self.keys[key_id]
        if stem + _PLACE in self.members:
            return _on_token(self._json(stem + _PLACE))
        if stem + _PRIVATE not in self.members:
            return None
        signer = parse_signer(self._json(stem + _PRIVATE))
        if signer.key != key:
            raise _unusable(f"{stem}{_PRIVATE} is not the private half of {stem}{_PUBLIC}")
        return signer

    def holds(self, key_id: str) -> bool:
        """Can this file, with its token if there is one, sign with the key?"""
        return self.private_half(key_id) is not None

    def find_one(self, role: Role, key_ids: Iterable[str]) -> str:
        """Return the one key of these that is in the file.

        Raises:
            NotFoundError: `tuf-key-not-in-file`. ConflictError: `tuf-key-ambiguous`.
        """
        held = [key_id for key_id in key_ids if self.holds(key_id)]
        if not held:
            raise NotFoundError("tuf-key-not-in-file", f"The key file has no active {role} key of this factory.")
        if len(held) > 1:
            raise ConflictError(
                "tuf-key-ambiguous", f"The key file has {len(held)} active {role} keys: {', '.join(held)}."
            )
        return held[0]

    def known_root(self, *, production: bool) -> bytes | None:
        """Return the newest root that was verified with this file at hand; None before the first."""
        return self.members.get(_KNOWN[production])

    @property
    def known_targets_version(self) -> int:
        """The newest version of production targets that was verified with this file at hand; 0 before the first.

        Raises:
            InvalidInputError: `tuf-key-file-unusable`: the member is no version.
        """
        if _KNOWN_TARGETS not in self.members:
            return 0
        version = self._json(_KNOWN_TARGETS)
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            raise _unusable(f"{_KNOWN_TARGETS} is not a version")
        return version

    def with_key(self, role: Role, signer: TufSigner, on_token: OnToken | None = None) -> "KeyFile":
        """Return the file with one more key."""
        stem = f"{_PREFIX}-{role}-{signer.key.key_id}"
        public = {stem + _PUBLIC: encode(signer.key.document())}
        if on_token is not None:
            where: Json = {"token": on_token.token, "label": on_token.label}
            return self._with({**public, stem + _PLACE: encode(where)})
        return self._with({**public, stem + _PRIVATE: encode(signer.document())})

    def with_first_root(self, private: Json, public: Json) -> "KeyFile":
        """Return the file with the first root key, exactly as the server wrote it.

        Raises:
            InvalidInputError: `tuf-key-invalid`, `tuf-key-file-unusable`: the halves do not belong together.
        """
        signer, key = parse_signer(private), parse_key(public)
        if signer.key != key:
            raise _unusable("the two halves of the first root key that the server sent do not belong together")
        return self._with({FIRST_ROOT + _PRIVATE: encode(private), FIRST_ROOT + _PUBLIC: encode(public)})

    def with_known_roots(self, ci: bytes, production: bytes) -> "KeyFile":
        """Return the file with other newest roots; they are verified."""
        return self._with({_KNOWN[False]: ci, _KNOWN[True]: production})

    def with_known_targets_version(self, version: int) -> "KeyFile":
        """Return the file with a newer version of verified production targets; an older one changes nothing."""
        return self._with({_KNOWN_TARGETS: encode(max(version, self.known_targets_version))})

    def extends(self, earlier: "KeyFile") -> bool:
        """Does this file hold everything that the earlier one holds, what it knows to be newest aside?"""
        known = {*_KNOWN.values(), _KNOWN_TARGETS}
        return all(self.members.get(name) == data for name, data in earlier.members.items() if name not in known)

    def encoded(self) -> bytes:
        """Return the archive; the same members always make the same bytes."""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name in sorted(self.members):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(self.members[name]), _MODE
                archive.addfile(member, io.BytesIO(self.members[name]))
        return gzip.compress(plain.getvalue(), mtime=0)

    def _with(self, more: Mapping[str, bytes]) -> "KeyFile":
        return replace(self, members=MappingProxyType({**self.members, **more}))

    def _json(self, name: str) -> Json:
        return decode(self.members[name], max_octets=MAX_OCTETS)


EMPTY: Final = KeyFile(MappingProxyType({}))


def parse_key_file(data: bytes) -> KeyFile:
    """Read an archive; nothing of it is unpacked anywhere.

    Raises:
        InvalidInputError: `tuf-key-file-unusable`.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(data)), mode="r:") as archive:
            members = archive.getmembers()
            if len(members) > _MAX_MEMBERS or any(not member.isfile() for member in members if not member.isdir()):
                raise _unusable("it holds something other than files")
            contents = {member.name: _content(archive, member) for member in members if member.isfile()}
    except (OSError, EOFError, tarfile.TarError) as exc:
        raise _unusable("it is no gzip tar archive, or only a part of one") from exc
    found = KeyFile(MappingProxyType(contents))
    try:
        found.keys  # noqa: B018 - whether all keys can be read is to be known now
    except InvalidInputError as exc:
        raise _unusable(exc.detail.rstrip(".")) from exc
    return found


def digest_of(root: bytes) -> str:
    """Return what people compare: SHA-256 of a root's bytes, in hex."""
    return sha256(root).hex()


def _unzipped(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        plain = stream.read(MAX_OCTETS + 1)
    if len(plain) > MAX_OCTETS:
        raise _unusable("it is far larger than any key file")
    return plain


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return b"" if stream is None else stream.read()


def _on_token(value: Json) -> OnToken:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("token", "label")):
        raise _unusable("an entry for a key on a token does not name token and label")
    return OnToken(value["token"], value["label"])


def _unusable(reason: str) -> InvalidInputError:
    return InvalidInputError("tuf-key-file-unusable", f"The key file cannot be used: {reason}.")
