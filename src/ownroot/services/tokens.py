"""API tokens: 256 random bits that are shown once and stored as their hash."""

import base64
import hashlib
import os
from collections.abc import Callable

TOKEN_PREFIX = "own_"  # noqa: S105 - the part of every token that is no secret: lets scanners find leaked ones


def new_token(random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a fresh token: `own_` and 43 characters of base64url."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random(32)).rstrip(b"=").decode("ascii")


def token_sha256(token: str) -> bytes:
    """Return what is stored of a token. A plain hash is enough for 256 random bits; there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()
