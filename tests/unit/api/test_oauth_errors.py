"""How the OAuth endpoints say errors: the traps of registration.md §3.2, as far as they are about the form."""

import pytest

from ownroot.api.oauth_errors import ERROR_BY_CODE, ERROR_BY_FAMILY, oauth_refusal
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from tests.support.errors import walk_subclasses

SERVER_FAMILIES = [
    family
    for family in walk_subclasses(OwnrootError)
    if not family.__module__.startswith(("ownroot.console", "ownroot.tuf"))  # neither meets OAuth
]


@pytest.mark.parametrize("family", SERVER_FAMILIES, ids=lambda family: family.__name__)
def test_every_family_has_a_name_and_a_final_refusal_is_400(family: type[OwnrootError]) -> None:
    options = {"retry_after": 7} if issubclass(family, UnavailableError) else {}
    reply = oauth_refusal(family("some-code", "Some detail.", **options))
    later = issubclass(family, (UnavailableError, KeyStoreError))
    assert reply.status == (503 if later else 400)
    assert (reply.body.error == "temporarily_unavailable") is later


def test_slow_down_is_never_said() -> None:
    assert "slow_down" not in {*ERROR_BY_CODE.values(), *ERROR_BY_FAMILY.values()}


@pytest.mark.parametrize("code", ["body-too-large", "wrong-content-type", "body-too-slow"])
def test_faults_of_the_http_exchange_are_400_too(code: str) -> None:
    assert oauth_refusal(InvalidInputError(code, "No.")).status == 400


def test_what_may_work_later_says_when() -> None:
    reply = oauth_refusal(UnavailableError("database-full", "Full.", retry_after=30))
    assert (reply.status, reply.headers["Retry-After"]) == (503, "30")


def test_message_and_code_stand_beside_the_names_of_the_rfc() -> None:
    body = oauth_refusal(RefusedError("authorization-pending", "Nobody has decided.")).body
    assert (body.error, body.code, body.message) == (
        "authorization_pending",
        "authorization-pending",
        "Nobody has decided.",
    )
