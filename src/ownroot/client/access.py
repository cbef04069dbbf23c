"""Who asks a backend: its address, the factory, and the token with the header that shows it (protocol: api.md §1.2)."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ownroot.errors import InvalidInputError

TOKEN_HEADER: Final = "OSF-TOKEN"  # noqa: S105 - a header's name, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAccess:
    """Where the API is, who we are there, and for which factory we ask.

    `is_access_token`: the token came from OAuth, and goes where existing servers look for such a one.
    """

    url: str
    factory: str
    token: str
    cacert: Path | None = None
    is_access_token: bool = False

    def credential(self) -> tuple[str, str]:
        """Return name and value of the header that shows the token (protocol: api.md §1.2).

        Raises:
            InvalidInputError: `bad-token`.
        """
        token = require_token(self.token)
        if not self.is_access_token:
            return TOKEN_HEADER, token
        return "Authorization", f"Bearer {base64.b64encode(token.encode()).decode('ascii')}"


def require_token(token: str) -> str:
    """Return the token if it can stand in a header.

    Raises:
        InvalidInputError: `bad-token`; the token itself is not shown.
    """
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInputError("bad-token", "The token is empty or holds blanks or characters no token has.")
    return token
