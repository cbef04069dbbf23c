"""Whose browser it is, and whether a form was really sent from a page of ours.

The session is a random secret in a cookie that scripts cannot read and other sites' requests do not carry. A form
also carries a token that follows from the secret, and where the browser says from which site it comes, that counts too:
a form for signing in has no session yet whose token it could carry.
"""

import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlsplit

from ownroot.dashboard.pages import Visitor
from ownroot.errors import RefusedError
from ownroot.services.sign_in import SESSION_LIFETIME, SignedIn
from ownroot.web.endpoint import Call

COOKIE: Final = "ownroot_session"
_CSRF_LABEL: Final = b"ownroot form token v1"


def session_secret(call: Call[Any]) -> str | None:
    """Return the secret in the browser's cookie."""
    for pair in call.arrival.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and value:
            return value
    return None


def session_cookie(secret: str, *, secure: bool) -> dict[str, str]:
    """Return the header that hands out a session; an empty secret takes it back."""
    seconds = int(SESSION_LIFETIME.total_seconds()) if secret else 0
    flags = f"Path=/activate/; Max-Age={seconds}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return {"Set-Cookie": f"{COOKIE}={secret}; {flags}"}


def visitor_of(signed_in: SignedIn) -> Visitor:
    """Return what pages need to know of somebody signed in."""
    digest = hmac.new(signed_in.secret.encode(), _CSRF_LABEL, hashlib.sha256)
    return Visitor(signed_in.user.name, digest.hexdigest())


def require_own_form(call: Call[Any], public_url: str | None) -> None:
    """Refuse a form that a page of somebody else sent.

    Raises:
        RefusedError: `form-from-elsewhere`.
    """
    headers = call.arrival.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise _from_elsewhere()
        return
    origin = headers.get("origin")
    ours = {urlsplit(url).netloc.lower() for url in (call.arrival.base_url, public_url) if url}
    if origin is not None and urlsplit(origin).netloc.lower() not in ours:
        raise _from_elsewhere()


def require_csrf(visitor: Visitor, shown: str) -> None:
    """Refuse a form that does not carry the token of its session.

    Raises:
        RefusedError: `form-outdated`.
    """
    if not hmac.compare_digest(visitor.csrf.encode(), shown.encode()):
        raise RefusedError("form-outdated", "This form belongs to a session that has ended. Nothing was decided.")


def _from_elsewhere() -> RefusedError:
    return RefusedError("form-from-elsewhere", "This form was not sent from a page of this server. Nothing was done.")
