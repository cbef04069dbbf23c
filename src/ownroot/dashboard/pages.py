"""The pages on which somebody allows a device: the code, the sign-in, the question, the result.

They work without script, by keyboard, on a phone and with a screen reader: one heading, labelled fields, errors that
are announced and tied to their field, and no meaning that only a colour carries.
"""

from dataclasses import dataclass
from typing import Final

from ownroot.dashboard.device_warnings import placement, shown_time, warnings
from ownroot.dashboard.html import Html, fill
from ownroot.services.authorize_registration import Waiting
from ownroot.services.read_uuid_record import UuidRecord
from ownroot.services.user_codes import shown_user_code

_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} - Ownroot</title>
<link rel="stylesheet" href="/activate/style.css">
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
{footer}
</body>
</html>
"""

_ALERT: Final = """<p id="problem" class="problem" role="alert"><strong>Problem:</strong> {text}</p>
"""

_FOOTER: Final = """<footer>
<form method="post" action="/activate/sign-out/">
<input type="hidden" name="csrf" value="{csrf}">
<p>Signed in as <strong>{name}</strong>. <button class="quiet">Sign out</button></p>
</form>
</footer>"""

_CODE: Final = """{alert}<p>A device that wants to be registered shows a code of eight letters.</p>
<form method="post" action="/activate/">
<label for="user_code">Code</label>
<input id="user_code" name="user_code" value="{code}" required autofocus maxlength="32" placeholder="BCDF-GHJK"
 autocomplete="off" autocapitalize="characters" spellcheck="false" class="code"{described}>
<button>Continue</button>
</form>"""

_SIGN_IN: Final = """{alert}<p>Sign in to see which device shows the code <strong class="code">{code}</strong>.</p>
<form method="post" action="/activate/sign-in/">
<input type="hidden" name="user_code" value="{code}">
<label for="name">Name</label>
<input id="name" name="name" value="{name}" required maxlength="64" autocomplete="username" autocapitalize="none"
 spellcheck="false"{described}{focus_name}>
<label for="password">Password</label>
<input id="password" name="password" type="password" required maxlength="1024"
 autocomplete="current-password"{described}{focus_password}>
<button>Sign in</button>
</form>"""

_QUESTION: Final = """<p>Allow it only if the code <strong class="code">{code}</strong> is on the screen of a device
that you know. If somebody sent you the code, deny it.</p>
<dl>
<dt>Device</dt><dd class="id">{device}</dd>
<dt>Factory</dt><dd>{factory}</dd>
{placement}<dt>Asked from</dt><dd>{peer}</dd>
<dt>Asked at</dt><dd><time datetime="{machine_time}">{time}</time></dd>
<dt>Your name</dt><dd>{name}</dd>
</dl>
{warnings}<p>If you allow it, the device gets a certificate of factory {factory}{outcome}.</p>
<form method="post" action="/activate/device/" class="choice">
<input type="hidden" name="csrf" value="{csrf}">
<input type="hidden" name="user_code" value="{code}">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny" class="no">Deny</button>
</form>"""

_ALLOWED: Final = """<p role="status">Device <strong class="id">{device}</strong> may register with factory
{factory} now. It goes on by itself; you can close this page.</p>
<p><a href="/activate/">Enter another code</a></p>"""

_DENIED: Final = """<p role="status">Device <strong class="id">{device}</strong> was denied. It will not be
registered.</p>
<p><a href="/activate/">Enter another code</a></p>"""

_ERROR: Final = """{alert}<p><a href="/activate/">Start again with the code</a></p>"""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, and the token against forged forms of their session."""

    name: str
    csrf: str


def code_page(code: str = "", *, visitor: Visitor | None = None, problem: str = "") -> Html:
    """Ask for the code."""
    content = fill(_CODE, alert=_alert(problem), code=code, described=_described(problem))
    return _frame("Allow a device", content, visitor)


def sign_in_page(user_code: str, *, name: str = "", problem: str = "") -> Html:
    """Ask who is there; the cursor stands where something is missing."""
    content = fill(
        _SIGN_IN,
        alert=_alert(problem),
        code=shown_user_code(user_code),
        name=name,
        described=_described(problem),
        focus_name=_focus(not name),
        focus_password=_focus(bool(name)),
    )
    return _frame("Sign in", content, None)


def question_page(waiting: Waiting, record: UuidRecord, visitor: Visitor) -> Html:
    """Show the device with what is on record under its uuid, and ask for a decision."""
    asked = waiting.authorization
    content = fill(
        _QUESTION,
        code=shown_user_code(asked.user_code),
        device=asked.uuid,
        factory=waiting.factory.name,
        peer=asked.peer or "an unknown address",
        machine_time=f"{asked.created_at:%Y-%m-%dT%H:%M:%SZ}",
        time=shown_time(asked.created_at),
        placement=placement(record),
        warnings=warnings(record),
        outcome=", and you own it" if record.known is None else "",
        name=visitor.name,
        csrf=visitor.csrf,
    )
    return _frame("Allow this device?", content, visitor)


def result_page(waiting: Waiting, visitor: Visitor, *, allowed: bool) -> Html:
    """Say what was decided."""
    template, title = (_ALLOWED, "Device allowed") if allowed else (_DENIED, "Device denied")
    content = fill(template, device=waiting.authorization.uuid, factory=waiting.factory.name)
    return _frame(title, content, visitor)


def error_page(problem: str, visitor: Visitor | None = None) -> Html:
    """Say what went wrong, and where to start again."""
    return _frame("That did not work", fill(_ERROR, alert=_alert(problem)), visitor)


def _frame(title: str, content: Html, visitor: Visitor | None) -> Html:
    footer = Html() if visitor is None else fill(_FOOTER, name=visitor.name, csrf=visitor.csrf)
    return fill(_FRAME, title=title, content=content, footer=footer)


def _alert(problem: str) -> Html:
    return fill(_ALERT, text=problem) if problem else Html()


def _described(problem: str) -> Html:
    return Html(' aria-invalid="true" aria-describedby="problem"' if problem else "")


def _focus(here: bool) -> Html:
    return Html(" autofocus" if here else "")
