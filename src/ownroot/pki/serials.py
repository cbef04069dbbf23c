"""Serial numbers of certificates.

What we issue is random, positive and below 2^159 (20 octets in DER, RFC 5280 §4.1.2.2). What others issued may be one
bit longer, so serials are Python integers in memory and decimal strings everywhere else, never 64-bit numbers.
"""

import os
from collections.abc import Callable
from typing import NewType

from ownroot.errors import InvalidInputError

Serial = NewType("Serial", int)

ISSUED_SERIAL_LIMIT = 1 << 159
_HIGHEST_BIT = 1 << 158
# RFC 5280 allows 20 octets; Go-made ones have 21 (a leading zero). Half again is generous and still bounded.
_MAX_DIGITS = 72


def new_serial(random: Callable[[int], bytes] = os.urandom) -> Serial:
    """Draw a serial for a certificate of ours: 158 random bits under a set one, always 20 octets."""
    return Serial(int.from_bytes(random(20), "big") % _HIGHEST_BIT | _HIGHEST_BIT)


def serial_text(serial: int) -> str:
    """Return the decimal form, the one used on the wire, in files and in the database."""
    return str(serial)


def parse_serial(text: str) -> Serial:
    """Read a decimal serial as `serial_text` writes it.

    Raises:
        InvalidInputError: `serial-malformed`.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and (text == "0" or text[0] != "0")):
        raise InvalidInputError("serial-malformed", "A serial number is a decimal number without sign or spaces.")
    return Serial(int(text))
