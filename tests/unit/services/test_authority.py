"""Roles bound tokens, scopes are spelled as on the wire."""

import pytest

from ownroot.errors import InvalidInputError
from ownroot.services.authority import ROLE_SCOPES, effective_scopes, least_role, new_polis_id, parse_scope
from ownroot.services.scopes import Role, Scope
from ownroot.services.tokens import new_token, token_sha256


def test_every_role_has_its_scopes():
    assert set(ROLE_SCOPES) == set(Role)


def test_a_scope_to_change_carries_the_one_to_look():
    assert effective_scopes(Role.MEMBER, {Scope.DEVICES_READ_UPDATE}) == {
        Scope.DEVICES_READ,
        Scope.DEVICES_READ_UPDATE,
    }


def test_a_scope_to_look_does_not_carry_the_one_to_change():
    assert effective_scopes(Role.MEMBER, {Scope.DEVICES_READ}) == {Scope.DEVICES_READ}


def test_a_role_cuts_what_a_token_says():
    assert effective_scopes(Role.MEMBER, {Scope.CERTS_MANAGE}) == {Scope.CERTS_READ}
    assert effective_scopes(Role.AUDITOR, {Scope.DEVICES_DELETE}) == frozenset()


@pytest.mark.parametrize(
    ("scope", "role"),
    [
        (Scope.DEVICES_READ, Role.AUDITOR),
        (Scope.DEVICES_CREATE, Role.MEMBER),
        (Scope.CERTS_MANAGE, Role.ADMIN),
    ],
)
def test_a_new_user_gets_the_least_role(scope, role):
    assert least_role({scope}) is role


@pytest.mark.parametrize("text", ["devices:create", "acme:devices:create", " devices:create "])
def test_scopes_are_read_with_and_without_factory(text):
    assert parse_scope(text, factory="acme") is Scope.DEVICES_CREATE


@pytest.mark.parametrize("text", ["", "devices", "other:devices:create", "Devices:Create", "acme:"])
def test_unknown_scopes_are_refused(text):
    with pytest.raises(InvalidInputError) as refused:
        parse_scope(text, factory="acme")
    assert refused.value.code == "scope-unknown"


def test_tokens_and_ids_have_their_form():
    assert new_token(bytes) == "own_" + "A" * 43
    assert new_polis_id(bytes) == "0" * 24
    assert len(token_sha256("own_x")) == 32
