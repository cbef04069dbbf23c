"""Whose browser it is, and from which site a form came."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ownroot.dashboard.visits import (
    require_csrf,
    require_own_form,
    session_cookie,
    session_secret,
    visitor_of,
)
from ownroot.errors import RefusedError
from ownroot.services.records import User
from ownroot.services.sign_in import SignedIn
from ownroot.web.endpoint import Arrival, Call

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PUBLIC = "https://api.example.com"


def a_call(base_url: str = "http://127.0.0.1:8000", **headers: str) -> Call[Any]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(Arrival("POST", {}, {}, None, "192.0.2.1", "id", base_url, NOW, headers=sent))


def signed_in(secret: str) -> SignedIn:
    return SignedIn(User("0" * 24, "ada"), secret, NOW)


@pytest.mark.parametrize(
    ("cookie", "secret"),
    [
        ("ownroot_session=abc", "abc"),
        ("other=1; ownroot_session=abc; more=2", "abc"),
        ("ownroot_session=", None),
        ("xownroot_session=abc", None),
        ("", None),
    ],
)
def test_secret_is_read_from_its_cookie_alone(cookie: str, secret: str | None) -> None:
    assert session_secret(a_call(cookie=cookie)) == secret


def test_cookie_is_secure_where_tls_is_and_taken_back_at_once() -> None:
    assert session_cookie("abc", secure=True)["Set-Cookie"].endswith(
        "; Max-Age=1800; HttpOnly; SameSite=Strict; Secure"
    )
    assert "Secure" not in session_cookie("abc", secure=False)["Set-Cookie"]
    assert "ownroot_session=; Path=/activate/; Max-Age=0;" in session_cookie("", secure=False)["Set-Cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin", "origin": "null"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "https://127.0.0.1:8000"},  # a proxy that forgets to say that it speaks TLS
        {"origin": PUBLIC},
    ],
    ids=str,
)
def test_forms_of_our_pages_pass(headers: dict[str, str]) -> None:
    require_own_form(a_call(**headers), PUBLIC)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:8000"},
        {"sec_fetch_site": ""},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "https://api.example.com.evil.example"},
        {"origin": "null"},
    ],
    ids=str,
)
def test_forms_of_others_do_not(headers: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match="form-from-elsewhere"):
        require_own_form(a_call(**headers), PUBLIC)


def test_form_token_is_that_of_the_session_and_tells_nothing_of_it() -> None:
    one, other = visitor_of(signed_in("own_secret")), visitor_of(signed_in("own_other"))
    require_csrf(one, one.csrf)
    assert "own_secret" not in one.csrf
    with pytest.raises(RefusedError, match="form-outdated"):
        require_csrf(one, other.csrf)
