"""Tokens for OAuth clients, over real sockets (protocol: api.md §1.2, §1.3)."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.oauth_forms import ask_token, post_form
from tests.support.world import RunningServer

SELF = "/ota/factories/acme/users/self/"


def log_in(server: RunningServer, client: dict[str, str]) -> dict[str, object]:
    answer = ask_token(server, grant_type="client_credentials", **client)
    assert answer.status == 200, answer.body
    document: dict[str, object] = answer.json
    return document


def test_login_is_answered_exactly_as_existing_clients_need_it(server, client):
    answer = ask_token(server, grant_type="client_credentials", **client)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    reply = answer.json
    assert reply["token_type"] == "Bearer"
    assert (reply["expires_in"], type(reply["expires_in"])) == (3600, int)
    assert reply["orgs"] == [{"name": "acme"}]
    assert reply["scope"] == "acme:devices:read acme:users:read"
    assert reply["access_token"] != reply["refresh_token"] != ""


def test_refresh_is_answered_with_a_refresh_token_again(server, client):
    first = log_in(server, client)
    answer = ask_token(server, grant_type="refresh_token", refresh_token=first["refresh_token"], **client)
    assert answer.status == 200
    assert set(answer.json) == set(first)
    assert answer.json["refresh_token"] not in ("", first["refresh_token"])
    assert answer.json["access_token"] != first["access_token"]


@pytest.mark.parametrize("spelling", ["base64", "raw", "static header"])
def test_access_token_opens_the_api_in_every_spelling(server, client, spelling):
    token = str(log_in(server, client)["access_token"])
    encoded = base64.b64encode(token.encode()).decode()
    headers = {
        "base64": {"Authorization": f"Bearer {encoded}"},
        "raw": {"Authorization": f"Bearer {token}"},
        "static header": {"OSF-TOKEN": token},
    }[spelling]
    answer = server.call("GET", SELF, token=None, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["polis-id"] == server.owner_id
    assert answer.json()["effective-scopes"] == ["acme:devices:read", "acme:users:read"]


def test_access_token_does_no_more_than_the_clients_scopes(server, client):
    token = str(log_in(server, client)["access_token"])
    assert server.call("GET", "/ota/devices/?factory=acme", token=token).status_code == 200
    refused = server.call("DELETE", "/ota/devices/none/?factory=acme", token=token)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")


def test_refresh_token_is_no_access_token(server, client):
    token = str(log_in(server, client)["refresh_token"])
    answer = server.call("GET", SELF, token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-unknown")


def test_static_token_wins_over_a_bearer_token(server, client):
    token = str(log_in(server, client)["access_token"])
    answer = server.call("GET", SELF, headers={"Authorization": f"Bearer {token}"})
    assert "acme:certs:manage" in answer.json()["effective-scopes"]


def test_login_may_ask_for_fewer_scopes_and_not_for_more(server, client):
    narrow = ask_token(server, grant_type="client_credentials", scope="acme:devices:read", **client)
    assert narrow.json["scope"] == "acme:devices:read"
    wide = ask_token(server, grant_type="client_credentials", scope="devices:read certs:manage", **client)
    assert wide.refusal == (400, "invalid_scope", "scope-not-granted")
    unknown = ask_token(server, grant_type="client_credentials", scope="everything", **client)
    assert unknown.refusal == (400, "invalid_scope", "scope-unknown")


def test_refresh_may_ask_for_fewer_scopes_and_not_for_more(server, client):
    first = log_in(server, client)
    form = {"grant_type": "refresh_token", "refresh_token": str(first["refresh_token"]), **client}
    wide = ask_token(server, scope="users:read certs:manage", **form)
    assert wide.refusal == (400, "invalid_scope", "scope-not-granted")
    narrow = ask_token(server, scope="users:read", **form).json
    assert narrow["scope"] == "acme:users:read"
    assert server.call("GET", SELF, token=narrow["access_token"]).status_code == 200
    refused = server.call("GET", "/ota/devices/?factory=acme", token=narrow["access_token"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")


@pytest.mark.parametrize("change", [{"client_id": "0" * 24}, {"client_secret": "own_" + "x" * 43}])
def test_wrong_id_and_wrong_secret_are_refused_alike(server, client, change):
    answer = ask_token(server, grant_type="client_credentials", **(client | change))
    assert answer.refusal == (400, "invalid_client", "client-unknown")


def test_deleted_client_and_its_tokens_are_worthless(server):
    made = server.run("client", "create", "-f", "acme", "--scope", "users:read")
    client = {"client_id": made["client-id"], "client_secret": made["client-secret"]}
    tokens = log_in(server, client)
    assert server.call("GET", SELF, token=str(tokens["access_token"])).status_code == 200
    server.run("client", "delete", "-f", "acme", made["client-id"])
    refused = ask_token(server, grant_type="refresh_token", refresh_token=str(tokens["refresh_token"]), **client)
    assert refused.refusal == (400, "invalid_client", "client-unknown")


def test_refresh_token_of_another_client_is_refused(server, client):
    other = server.run("client", "create", "-f", "acme", "--scope", "users:read")
    tokens = log_in(server, client)
    answer = ask_token(
        server,
        grant_type="refresh_token",
        refresh_token=str(tokens["refresh_token"]),
        client_id=other["client-id"],
        client_secret=other["client-secret"],
    )
    assert answer.refusal == (400, "invalid_grant", "refresh-unknown")


def test_two_commands_that_refresh_at_once_both_go_on(server, client):
    tokens = log_in(server, client)

    def refresh(_: int) -> int:
        return ask_token(
            server, grant_type="refresh_token", refresh_token=str(tokens["refresh_token"]), **client
        ).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(refresh, range(8))) == {200}


def test_secret_in_a_basic_header_is_as_good_and_in_both_places_is_refused(server, client):
    pair = f"{client['client_id']}:{client['client_secret']}"
    basic = "Basic " + base64.b64encode(pair.encode()).decode()
    body = "grant_type=client_credentials"
    assert post_form(server, "/oauth/token/", body, Authorization=basic).status == 200
    both = post_form(server, "/oauth/token/", f"{body}&client_secret=x", Authorization=basic)
    assert both.refusal == (400, "invalid_request", "doubled-parameter")
    broken = post_form(server, "/oauth/token/", body, Authorization="Basic !")
    assert broken.refusal == (400, "invalid_client", "bad-authorization")


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        (b"", "invalid_request", "bad-field"),
        (b"grant_type=client_credentials", "invalid_request", "missing-field"),
        (b"grant_type=client_credentials&client_id=x", "invalid_request", "missing-field"),
        (b"grant_type=refresh_token&client_id=x&client_secret=y", "invalid_request", "missing-field"),
        (b"grant_type=password&username=a&password=b", "unsupported_grant_type", "grant-unsupported"),
        (b"grant_type=client_credentials&grant_type=refresh_token", "invalid_request", "doubled-parameter"),
        (b"grant_type=client_credentials&client_id=\xff\xfe&client_secret=x", "invalid_request", "bad-form"),
        (b"grant_type=client_credentials&client_id=%ff&client_secret=x", "invalid_request", "bad-form"),
        (b"grant_type=client_credentials&client_id=a%0ab&client_secret=x", "invalid_request", "bad-form"),
        (b"grant_type=client_credentials&client_id=" + b"a" * 5000, "invalid_request", "bad-form"),
        (b"&".join(b"p%d=1" % n for n in range(60)), "invalid_request", "bad-form"),
        (b"grant_type=" + b"a" * 1_000_000, "invalid_request", "bad-form"),
        (b'{"grant_type":"client_credentials"}', "invalid_request", "bad-field"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else value,
)
def test_bad_forms_get_a_clear_400(server, body, error, code):
    assert post_form(server, "/oauth/token/", body).refusal == (400, error, code)


@pytest.mark.parametrize("path", ["/oauth/token/", "/oauth/authorization/device/"])
def test_form_that_is_too_large_is_refused_before_it_is_read(server, path):
    assert post_form(server, path, b"", Content_Length="1200000").refusal == (400, "invalid_request", "body-too-large")


def test_json_is_refused_in_the_form_of_oauth(server):
    answer = post_form(server, "/oauth/token/", json.dumps({"grant_type": "x"}), Content_Type="application/json")
    assert answer.refusal == (400, "invalid_request", "wrong-content-type")


def test_form_without_a_content_type_is_read(server, client):
    body = f"grant_type=client_credentials&client_id={client['client_id']}&client_secret={client['client_secret']}"
    assert post_form(server, "/oauth/token/", body, Content_Type="").status == 200


def test_no_secret_reaches_the_log_or_the_database(server, client):
    tokens = log_in(server, client)
    secrets = [client["client_secret"], str(tokens["access_token"]), str(tokens["refresh_token"])]
    kept = b"".join(path.read_bytes() for path in server.data_dir.glob("ownroot.db*"))
    for secret in secrets:
        assert secret not in server.log
        assert secret.encode() not in kept
