"""Users, teams, factories and status, as existing clients read them (protocol: api.md §2, §8)."""

import re

import pytest

BASE = "/ota/factories/acme"


def test_self_answers_for_any_token(server):
    machine = server.create_token("devices:create", user="station-1")
    answer = server.call("GET", f"{BASE}/users/self/", token=machine).json()
    assert re.fullmatch(r"[0-9a-f]{24}", answer["polis-id"])
    assert answer["name"] == "station-1"
    assert answer["role"] == "member"
    assert answer["effective-scopes"] == ["acme:devices:create"]
    assert [set(team) for team in answer["teams-ext"]] == [{"name", "description"}]


def test_self_is_the_owner_for_the_owners_token(server):
    answer = server.call("GET", f"{BASE}/users/self/").json()
    assert (answer["polis-id"], answer["role"]) == (server.owner_id, "owner")
    assert "acme:certs:manage" in answer["effective-scopes"]


def test_users_are_listed_and_shown(server):
    server.create_token("devices:read", user="station-2")
    users = server.call("GET", f"{BASE}/users/").json()
    assert {"polis-id": server.owner_id, "name": "acme-owner", "role": "owner"} in users
    shown = server.call("GET", f"{BASE}/users/{server.owner_id}/").json()
    assert shown["name"] == "acme-owner"


def test_an_unknown_user_is_404(server):
    answer = server.call("GET", f"{BASE}/users/{'0' * 24}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "user-unknown")


def test_teams_are_listed_and_shown_without_a_slash(server):
    names = [team["name"] for team in server.call("GET", f"{BASE}/teams/").json()]
    assert names == ["owners", "admins", "members", "auditors"]
    team = server.call("GET", f"{BASE}/teams/owners").json()
    assert set(team) == {"name", "description", "scopes", "groups", "members"}
    assert [member["polis-id"] for member in team["members"]] == [server.owner_id]
    assert server.call("GET", f"{BASE}/teams/nobody").status_code == 404


def test_factories_are_those_of_the_caller(server):
    other = server.for_factory("other-accounts")
    names = [item["name"] for item in server.call("GET", "/ota/factories/").json()]
    assert names == ["acme"]
    assert [item["name"] for item in other.call("GET", "/ota/factories/?admin=1").json()] == ["other-accounts"]


def test_only_managed_factories_are_listed_for_admins(server):
    machine = server.create_token("devices:read", user="station-3")
    assert server.call("GET", "/ota/factories/", token=machine).json() != []
    assert server.call("GET", "/ota/factories/?admin=1", token=machine).json() == []


def test_status_counts_devices(server):
    answer = server.call("GET", f"{BASE}/status/?offline-threshold=4").json()
    assert answer == {"total-devices": 0, "tags": [], "prod-tags": [], "wave-tags": []}


def test_tokens_are_not_made_beyond_a_role(server):
    server.create_token("devices:read", user="station-4")
    with pytest.raises(AssertionError, match="role-lacks-scope"):
        server.create_token("certs:manage", user="station-4")


def test_a_factory_is_made_once(server):
    with pytest.raises(AssertionError, match="factory-exists"):
        server.create_factory("acme")


def test_reserved_and_malformed_factory_names_are_refused(server):
    for name, code in (("ostree", "factory-name-reserved"), ("Acme", "factory-name-invalid")):
        with pytest.raises(AssertionError, match=code):
            server.create_factory(name)
