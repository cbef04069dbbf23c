"""Answers to browsers: a page or a way to one, with the headers that keep others out of it.

Nothing may run, be framed, be loaded from elsewhere or be kept: the pages hold codes and tokens against forgery. They
need no script, so none is allowed. The referrer stays with us; without any, browsers would hide the origin of forms.
"""

from collections.abc import Mapping
from typing import Final

from ownroot.dashboard.html import Html
from ownroot.errors import OwnrootError, UnavailableError
from ownroot.web.endpoint import Reply
from ownroot.web.problems import problem_status

HTML: Final = "text/html; charset=utf-8"
_GUARDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def page(html: Html, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer a page."""
    return Reply(status, html.encode(), {**_GUARDS, **(headers or {})}, HTML)


def go_to(path: str, *, headers: Mapping[str, str] | None = None) -> Reply:
    """Send the browser to another page of ours, by GET whatever it did before."""
    return Reply(303, headers={**_GUARDS, "Location": path, **(headers or {})})


def style(sheet: bytes) -> Reply:
    """Answer the style sheet; it holds nothing and may be kept for a while."""
    return Reply(200, sheet, {**_GUARDS, "Cache-Control": "public, max-age=3600"}, "text/css; charset=utf-8")


def status_of(error: OwnrootError) -> tuple[int, dict[str, str]]:
    """Return status and headers of a page that says an error: what a person may try later is 429."""
    if isinstance(error, UnavailableError):
        status = 429 if error.code == "too-many-attempts" else 503
        return status, {"Retry-After": str(error.retry_after)}
    status = int(problem_status(error))
    # 401 would make a browser ask for a password of its own; a person is answered in the page.
    return (403 if status == 401 else status), {}
