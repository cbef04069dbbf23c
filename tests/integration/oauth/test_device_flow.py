"""The device flow over real sockets: every row and rule of registration.md §3.2."""

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from cryptography import x509

from ownroot.wire.oauth import DEVICE_CODE
from tests.support.device_csrs import device_csr, new_key
from tests.support.device_flow import allowed, ask, settle
from tests.support.oauth_forms import post_form

ASK = "/oauth/authorization/device/"
SAFE = re.compile(r"[A-Za-z0-9_-]+\Z")


# --- asking ---------------------------------------------------------------------------------------------------------


def test_codes_come_as_programs_of_the_field_need_them(server):
    codes = ask(server).codes
    assert SAFE.match(codes["device_code"])
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", codes["user_code"])
    assert codes["verification_uri"] == server.api_url + "/activate/"
    assert [(codes[name], type(codes[name])) for name in ("expires_in", "interval")] == [(900, int), (5, int)]


def test_percent_encoded_form_is_read_as_well(server):
    body = f"scope=acme%3Adevices%3Acreate&client_id={uuid4()}"
    assert post_form(server, ASK, body).status == 200


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ("client_id=dev-1&scope=other:devices:create", "invalid_scope", "scope-wrong-factory"),
        ("client_id=dev-1&scope=acme:devices:read", "invalid_scope", "scope-not-registration"),
        ("client_id=dev-1&scope=devices:create", "invalid_scope", "scope-not-registration"),
        ("client_id=dev-1&scope=acme:devices:create acme:certs:manage", "invalid_scope", "scope-not-registration"),
        ("client_id=../x&scope=acme:devices:create", "invalid_client", "device-uuid-invalid"),
        ("client_id=<b>&scope=acme:devices:create", "invalid_client", "device-uuid-invalid"),
        ("client_id=" + "a" * 65 + "&scope=acme:devices:create", "invalid_client", "device-uuid-invalid"),
        ("scope=acme:devices:create", "invalid_request", "bad-field"),
        ("client_id=a&client_id=b&scope=acme:devices:create", "invalid_request", "doubled-parameter"),
    ],
    ids=lambda value: value[:40],
)
def test_wrong_questions_are_refused_with_error_and_description(server, body, error, code):
    answer = post_form(server, ASK, body)
    assert answer.refusal == (400, error, code)


def test_wrong_factory_is_said_in_the_words_programs_know(server):
    answer = post_form(server, ASK, "client_id=dev-1&scope=other:devices:create")
    assert answer.json["error_description"] == "'scope' parameter is not valid: wrong Factory value"


def test_device_that_asks_again_leaves_one_question_behind(server):
    name = str(uuid4())
    first, second = ask(server, name), ask(server, name)
    assert first.poll().refusal == (400, "invalid_grant", "authorization-unknown")
    assert second.poll().refusal == (400, "authorization_pending", "authorization-pending")


# --- polling --------------------------------------------------------------------------------------------------------


def test_undecided_is_400_authorization_pending_however_often_one_asks(server):
    device = ask(server)
    for _ in range(20):
        assert device.poll().refusal == (400, "authorization_pending", "authorization-pending")


def test_denied_is_400_access_denied(server):
    device = ask(server)
    settle(device, allow=False)
    assert device.poll().refusal == (400, "access_denied", "authorization-denied")


def test_allowed_gives_a_token_once_and_then_400(server):
    device = allowed(server)
    answer = device.poll()
    assert answer.status == 200
    assert answer.json["scope"] == "acme:devices:create"
    assert (answer.json["expires_in"], type(answer.json["expires_in"])) == (600, int)
    assert device.poll().refusal == (400, "invalid_grant", "authorization-used")


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"device_code": "dc-123"}, "invalid_grant", "authorization-unknown"),
        ({"client_id": "another-device"}, "invalid_grant", "authorization-unknown"),
        ({"device_code": ""}, "invalid_request", "missing-field"),
        ({"client_id": ""}, "invalid_request", "missing-field"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:other"}, "unsupported_grant_type", "grant-unsupported"),
    ],
)
def test_whatever_is_wrong_with_a_poll_is_400_and_the_code_stays_good(server, change, error, code):
    device = allowed(server)
    assert device.poll(**change).refusal == (400, error, code)
    assert device.token()


def test_percent_encoded_poll_is_read_as_well(server):
    device = allowed(server)
    assert device.poll(grant_type=DEVICE_CODE.replace(":", "%3A"), scope="acme%3Adevices%3Acreate").status == 200


def test_of_a_hundred_polls_at_once_exactly_one_gets_the_token(server):
    device = allowed(server)
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: device.poll(), range(100)))
    assert sorted({answer.status for answer in answers}) == [200, 400]
    assert [answer.status for answer in answers].count(200) == 1
    assert {answer.json["error"] for answer in answers if answer.status == 400} == {"invalid_grant"}


# --- registering ----------------------------------------------------------------------------------------------------


def test_token_registers_its_device_for_whoever_allowed_it(server):
    device = allowed(server)
    status, files = device.register(device.token())
    assert status == 201
    assert x509.load_pem_x509_certificate(files["client.pem"].encode())
    shown = server.call("GET", f"/ota/devices/{device.uuid}/?factory=acme&by-uuid=1").json()
    assert shown["owner"] == server.owner_id


def test_lost_answer_is_given_again_for_the_same_key(server):
    device = allowed(server)
    token, csr = device.token(), device_csr(device.uuid, key=new_key())
    first, again = device.register(token, csr), device.register(token, csr)
    assert (first[0], again[0]) == (201, 201)
    assert first[1]["client.pem"] == again[1]["client.pem"]


def test_token_is_spent_on_one_key(server):
    device = allowed(server)
    token = device.token()
    assert device.register(token)[0] == 201
    status, said = device.register(token)
    assert (status, said["code"]) == (403, "token-spent")


def test_token_is_not_spent_by_a_request_that_was_refused(server):
    device = allowed(server)
    token = device.token()
    status, said = device.register(token, device_csr(device.uuid, factory="other"))
    assert (status, said["code"]) == (403, "wrong-factory")
    assert device.register(token)[0] == 201


def test_token_does_not_register_another_device(server):
    device = allowed(server)
    token = device.token()
    status, said = device.register(token, uuid=str(uuid4()))
    assert (status, said["code"]) == (403, "token-other-device")
    assert device.register(token)[0] == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ota/devices/?factory=acme"),
        ("GET", "/ota/factories/"),
        ("GET", "/ota/factories/acme/users/self/"),
        ("GET", "/ota/factories/acme/certs/"),
        ("DELETE", "/ota/devices/x/?factory=acme"),
    ],
)
def test_token_is_good_for_nothing_else(server, method, path):
    token = allowed(server).token()
    answer = server.call(method, path, token=token)
    assert (answer.status_code, answer.json()["code"]) == (403, "token-for-one-device")


def test_race_of_two_keys_for_one_token_has_one_winner(server):
    device = allowed(server)
    token = device.token()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: device.register(token)[0], range(8)))
    assert sorted(answers) == [201] + [403] * 7


def test_neither_code_nor_token_reaches_the_log_or_the_database(server):
    device = allowed(server)
    token = device.token()
    kept = b"".join(path.read_bytes() for path in server.data_dir.glob("ownroot.db*"))
    for secret in (token, device.codes["device_code"]):
        assert secret not in server.log
        assert secret.encode() not in kept
