"""The few DER shapes we read and write ourselves (ITU-T X.690 §10).

Three things need them: names must be copied byte for byte, the builders of `cryptography` refuse serials of 160 bits,
and the issuance of device certificates is our hot path. Extension values and keys are encoded by `cryptography`.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from ownroot.errors import InvalidInputError

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x06
UTF8_STRING, PRINTABLE_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


class Element(NamedTuple):
    """One encoded value: its tag octet, the whole encoding, and the content alone."""

    tag: int
    raw: bytes
    content: bytes


# Past the checks of a constructor written in Python: a certificate is read as some fifty values on its way.
_new_element: Final = tuple.__new__


def encode(tag: int, content: bytes) -> bytes:
    """Encode one value with a single-octet tag."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*parts: bytes) -> bytes:
    """Encode a SEQUENCE of already encoded parts."""
    return encode(SEQUENCE, b"".join(parts))


def explicit(number: int, part: bytes) -> bytes:
    """Wrap an encoded value in the explicit context tag `[number]`."""
    return encode(0xA0 | number, part)


def integer(value: int) -> bytes:
    """Encode a non-negative INTEGER of any size."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bit_string(content: bytes) -> bytes:
    """Encode whole octets as a BIT STRING."""
    return encode(BIT_STRING, b"\x00" + content)


@lru_cache(maxsize=64)  # what is issued in one second begins, and mostly ends, at the same moments
def time(moment: datetime) -> bytes:
    """Encode aware UTC in whole seconds as UTCTime until 2049, as GeneralizedTime after (RFC 5280 §4.1.2.5)."""
    if moment.year < 2050:
        return encode(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return encode(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def extension(oid: bytes, value: bytes, *, critical: bool) -> bytes:
    """Encode one X.509 Extension; `oid` and `value` are encoded already."""
    return sequence(oid, encode(BOOLEAN, b"\xff") if critical else b"", encode(OCTET_STRING, value))


def read(content: bytes) -> Iterator[Element]:
    """Walk the values that `content` is made of, lazily and one level deep.

    Raises:
        InvalidInputError: `der-malformed`, when a tag or length is not what DER allows here.
    """
    position, end = 0, len(content)
    while position < end:
        start, tag = position + 2, content[position]
        if start > end or tag & 0x1F == 0x1F:
            raise _malformed()
        size = content[position + 1]
        if size >= 0x80:
            octets = size - 0x80
            size = int.from_bytes(content[start : start + octets], "big")
            start += octets
            if not 1 <= octets <= 4 or size < max(0x80, 1 << 8 * (octets - 1)):  # DER: the shortest form only
                raise _malformed()
        stop = start + size
        if stop > end:
            raise _malformed()
        yield _new_element(Element, (tag, content[position:stop], content[start:stop]))
        position = stop


def read_one(data: bytes, tag: int) -> Element:
    """Read `data` as exactly one value with this tag."""
    elements = list(read(data))
    if len(elements) != 1 or elements[0].tag != tag:
        raise _malformed()
    return elements[0]


def _malformed() -> InvalidInputError:
    return InvalidInputError("der-malformed", "The data is not a well-formed DER encoding.")
