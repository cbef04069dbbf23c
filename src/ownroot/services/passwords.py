"""Passwords of people: what one may be, and how it is kept.

Argon2id with the memory and passes of RFC 9106 §4, second choice (64 MiB, three), in the PHC string format, so that a
hash says how it was made. It takes a quarter of a second and 64 MiB on purpose: never on an event loop, and never more
than a few at a time.
"""

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ownroot.errors import InvalidInputError

MIN_CHARS: Final = 10
MAX_BYTES: Final = 1024
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
# Measured with OpenSSL 4.0: two hashes with four lanes at the same time wait for one another for ever.
_LANES: Final = 1

NOBODYS_HASH: Final = f"$argon2id$v=19$m=65536,t=3,p=1${'A' * 22}${'A' * 43}"
"""Made of zeros by nobody; costs as much to compare with as any other, and no password is known for it."""


@dataclass(frozen=True, slots=True)
class HashCost:
    """What one guess costs. Tests that hash often take less; a verification takes what the hash was made with."""

    memory_kib: int = 64 * 1024
    passes: int = 3


def hash_password(password: str, *, cost: HashCost = HashCost(), random: Callable[[int], bytes] = os.urandom) -> str:
    """Return the PHC string to keep of a password.

    Raises:
        InvalidInputError: `password-too-short`, `password-too-long`, `password-unreadable`.
    """
    kdf = Argon2id(
        salt=random(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=cost.passes,
        lanes=_LANES,
        memory_cost=cost.memory_kib,
    )
    return kdf.derive_phc_encoded(_octets(require_password(password)))


def is_password(password: str, phc: str | None) -> bool:
    """Is this the password behind a PHC string? None (nobody to compare with) takes as long, and is False."""
    octets = _octets(password)
    if len(octets) > MAX_BYTES:
        return False
    try:
        Argon2id.verify_phc_encoded(octets, phc or NOBODYS_HASH)
    except InvalidKey:
        return False
    return phc is not None


def require_password(password: str) -> str:
    """Return the password if it may be one; what it is made of is its owner's business (NIST SP 800-63B §3.1.1).

    Raises:
        InvalidInputError: as `hash_password`.
    """
    if len(password) < MIN_CHARS:
        raise InvalidInputError("password-too-short", f"A password has at least {MIN_CHARS} characters.")
    if not password.isprintable():
        raise InvalidInputError("password-unreadable", "A password is one line of printable characters.")
    if len(_octets(password)) > MAX_BYTES:
        raise InvalidInputError("password-too-long", f"A password has at most {MAX_BYTES} bytes.")
    return password


def _octets(password: str) -> bytes:
    """The same password typed on another keyboard may come in another Unicode form (RFC 8265 §4.1 wants NFC)."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
