"""The envelope that every file of a key ceremony has, whoever signs it.

A file is an envelope of `kind`, `version`, `body`, the SHA-256 of the body and, unless it is a request, signatures.
There is exactly one way to write a file: members sorted, indented by two, one newline at the end. What is read must be
those very bytes, so a single altered, added or lost byte is refused, and nothing is understood in part.
The digest guards against accidents; only signatures, or people who compare digests, guard against intent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Protocol, TypeVar

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import sha256

VERSION: Final = 1
# A factory with thousands of device CAs fits; what is larger is not one of our files.
MAX_FILE_BYTES: Final = 4 * 1024 * 1024

# A time with its zone; others could not be compared with a clock.
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Envelope(Protocol):
    """What the files of all families have."""

    @property
    def version(self) -> int:
        """The version of the form, `VERSION`."""
        ...

    @property
    def body(self) -> Any:
        """What the file is about."""
        ...

    @property
    def sha256(self) -> str:
        """The digest of the body, in hex."""
        ...


File = TypeVar("File", bound=Envelope)


@dataclass(frozen=True, slots=True)
class Family:
    """Files that belong to one sort of ceremony.

    Attributes:
        noun: what people call any of them.
        shape: the union of the file types, told apart by `kind`.
        kinds: the kind of each body type.
        names: what people call a file of each file type.
    """

    noun: str
    shape: Any
    kinds: Mapping[type, str]
    names: Mapping[type, str]

    def signed_octets(self, body: object) -> bytes:
        """Return what is hashed and signed: the kind, a newline, and the body as JSON without blanks, members sorted.

        It begins with a letter, so a signature over it can never pass for one over a certificate or CRL, which begin
        with the octet 0x30, nor for one over TUF metadata, which begins with `{`.
        """
        return self.kinds[type(body)].encode() + b"\n" + msgspec.json.encode(body, order="sorted")

    def digest(self, body: object) -> str:
        """Return the digest of a body, in hex: what people compare, and what files name each other by."""
        return sha256(self.signed_octets(body)).hex()

    def parse(self, content: bytes, wanted: type[File]) -> File:
        """Read a file; of its signatures nothing is checked.

        Raises:
            InvalidInputError: `ceremony-file-too-large`, `ceremony-file-unreadable` (truncated, not ours),
                `ceremony-file-kind`, `ceremony-file-version`, `ceremony-file-altered`.
        """
        file = self._decode(content)
        if not isinstance(file, wanted):
            raise InvalidInputError(
                "ceremony-file-kind", f"This is {self.names[type(file)]}, not {self.names[wanted]}."
            )
        if file.version != VERSION:
            raise InvalidInputError(
                "ceremony-file-version", f"The file has version {file.version}, known is {VERSION}."
            )
        if write_file(file) != content or self.digest(file.body) != file.sha256:
            raise InvalidInputError(
                "ceremony-file-altered", "The file is not as it was written: its content was altered."
            )
        return file

    def _decode(self, content: bytes) -> Envelope:
        if len(content) > MAX_FILE_BYTES:
            raise InvalidInputError("ceremony-file-too-large", "The file is far larger than any ceremony file.")
        try:
            file: Envelope = msgspec.json.decode(content, type=self.shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidInputError(
                "ceremony-file-unreadable", f"The file is no {self.noun}, or only a part of one: {exc}."
            ) from exc
        return file


def write_file(file: Envelope) -> bytes:
    """Return the content of a file."""
    return msgspec.json.format(msgspec.json.encode(file, order="sorted"), indent=2) + b"\n"
