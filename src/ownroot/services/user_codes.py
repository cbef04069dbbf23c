"""Codes that people copy by hand from a device's screen to a page.

Letters without vowels and without those that look like a digit or like one another: nobody spells a word, nobody
mistakes one for another (RFC 8628 §6.1). Eight of twenty are 34 bits, which only a signed-in member may try, and only
a few times.
"""

import os
import re
from collections.abc import Callable
from typing import Final

from ownroot.errors import InvalidInputError

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH: Final = 8
_HALF: Final = LENGTH // 2
_SEPARATORS: Final = re.compile(r"[\s\u2010-\u2015._-]+")
# The largest multiple of the alphabet's length in a byte: above it a letter would be likelier than another.
_FAIR: Final = 256 - 256 % len(ALPHABET)


def new_user_code(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a fresh code as it is stored: eight letters."""
    code = ""
    while len(code) < LENGTH:
        byte = random(1)[0]
        if byte < _FAIR:
            code += ALPHABET[byte % len(ALPHABET)]
    return code


def shown_user_code(code: str) -> str:
    """Return the code as people see it: two groups of four."""
    return f"{code[:_HALF]}-{code[_HALF:]}"


def parse_user_code(text: str) -> str:
    """Read what somebody typed: letters of either case, with anything between that people put between letters.

    Raises:
        InvalidInputError: `user-code-malformed`.
    """
    code = _SEPARATORS.sub("", text).upper()
    if len(code) != LENGTH or not set(code) <= set(ALPHABET):
        raise InvalidInputError(
            "user-code-malformed", "A code has eight letters, like BCDF-GHJK, with no vowels and no digits."
        )
    return code
