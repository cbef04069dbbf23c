"""The pages on which somebody allows a device, request by request."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import uuid4

import pytest

from ownroot.audit.events import EventKind
from ownroot.storage import open_database
from tests.support.browsing import Browser
from tests.support.device_csrs import device_csr
from tests.support.device_flow import ask
from tests.support.world import PROGRAM

PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"
_numbers = count(1)


@pytest.fixture
def ada(server) -> str:
    """A member with a password, whom no test has locked out."""
    return make_user(server, "member")


def make_user(server, role: str | None) -> str:
    name = f"ada-{next(_numbers)}"
    command = [PROGRAM, "user", "create", name, "--data", str(server.data_dir)]
    subprocess.run(command, input=PASSWORD, text=True, capture_output=True, timeout=60, check=True)
    if role:
        server.run("member", "add", "-f", "acme", "--user", name, "--role", role)
    return name


def question(server, name):
    """A device that waits, and a browser that shows the question."""
    device, browser = ask(server), Browser(server)
    shown = browser.sign_in(name, PASSWORD, device.codes["user_code"])
    assert shown.status == 200, shown.text
    return device, browser, shown


def answer(browser, shown, decision="allow", **changes):
    return browser.post("/activate/device/", shown.hidden | {"decision": decision} | changes)


# --- the way through ------------------------------------------------------------------------------------------------


def test_code_leads_to_the_sign_in_and_that_to_the_device(server, ada):
    device, browser = ask(server), Browser(server)
    code = device.codes["user_code"]
    assert code in browser.get(f"/activate/?user_code={code}").text
    sent_on = browser.post("/activate/", {"user_code": code.lower().replace("-", " ")})
    assert (sent_on.status, sent_on.headers["location"]) == (303, f"/activate/device/?user_code={code}")
    assert browser.get(sent_on.headers["location"]).hidden["user_code"] == code
    shown = browser.sign_in(ada, PASSWORD, code)
    assert all(text in shown.text for text in (device.uuid, "acme", ada, code, "127.0.0.1"))


def test_allowed_device_registers_and_belongs_to_whoever_allowed_it(server, ada):
    device, browser, shown = question(server, ada)
    result = answer(browser, shown)
    assert (result.status, "may register" in result.text) == (200, True)
    assert device.register(device.token())[0] == 201
    user = next(user for user in server.run("user", "list") if user["name"] == ada)
    shown_device = server.call("GET", f"/ota/devices/{device.uuid}/?factory=acme&by-uuid=1").json()
    assert shown_device["owner"] == user["polis-id"]


def test_denied_device_hears_so(server, ada):
    device, browser, shown = question(server, ada)
    assert "was denied" in answer(browser, shown, "deny").text
    assert device.poll().refusal == (400, "access_denied", "authorization-denied")


def registered(server, **more):
    """A device that registered with the owner's token."""
    uuid = str(uuid4())
    document = {"csr": device_csr(uuid, factory="acme"), "hardware-id": "h", **more}
    assert server.call("POST", "/ota/devices/", document=document).status_code == 201
    return uuid


def question_about(server, name, uuid):
    device, browser = ask(server, uuid), Browser(server)
    return device, browser, browser.sign_in(name, PASSWORD, device.codes["user_code"])


def test_question_about_a_new_device_warns_of_nothing(server, ada):
    _, _, shown = question(server, ada)
    assert ('class="warning"' in shown.text, "and you own it" in shown.text) == (False, True)


def test_question_says_that_the_uuid_is_known_and_what_the_device_is_called(server, ada):
    group = {"name": f"group-of-{ada}"}
    assert server.call("POST", "/ota/factories/acme/device-groups/", document=group).status_code == 201
    uuid = registered(server, name=f"pump-of-{ada}", group=group["name"])
    device, browser, shown = question_about(server, ada, uuid)
    said = ("is known already", f"pump-of-{ada}", f"group-of-{ada}", "With another key it will be refused")
    assert [text for text in said if text not in shown.text] == []
    assert "and you own it" not in shown.text
    assert answer(browser, shown).status == 200
    assert device.register(device.token())[1]["code"] == "device-uuid-taken"


def test_question_says_that_the_device_was_deleted_and_a_yes_brings_it_back(server, ada):
    uuid = registered(server)
    path = f"/ota/devices/{uuid}/?factory=acme&by-uuid=1"
    assert server.call("DELETE", path).status_code == 204
    device, browser, shown = question_about(server, ada, uuid)
    assert "is on the deny list" in shown.text
    assert answer(browser, shown).status == 200
    assert device.register(device.token())[0] == 201
    assert server.call("GET", path).status_code == 200


def test_nothing_on_record_is_told_to_who_may_not_decide(server):
    uuid = registered(server, name="pump-of-nobody")
    for role in (None, "auditor"):
        _, _, shown = question_about(server, make_user(server, role), uuid)
        assert ("known already" in shown.text, "pump-of-nobody" in shown.text) == (False, False)


def test_address_without_its_slash_leads_to_the_page(server):
    sent_on = Browser(server).get("/activate")
    assert (sent_on.status, sent_on.headers["location"]) == (303, "/activate/")


# --- sessions -------------------------------------------------------------------------------------------------------


def test_session_is_a_cookie_that_no_script_and_no_other_site_gets(server, ada):
    answer = Browser(server).post(
        "/activate/sign-in/", {"name": ada, "password": PASSWORD, "user_code": ask(server).codes["user_code"]}
    )
    flags = answer.headers["set-cookie"].split("; ")[1:]
    assert flags == ["Path=/activate/", "Max-Age=1800", "HttpOnly", "SameSite=Strict"]


def test_signing_out_ends_the_session_on_the_server_too(server, ada):
    device, browser, shown = question(server, ada)
    kept = dict(browser.cookies)
    out = browser.post("/activate/sign-out/", {"csrf": shown.hidden["csrf"]})
    assert (out.status, out.headers["location"]) == (303, "/activate/")
    assert "Max-Age=0" in out.headers["set-cookie"]
    again = Browser(server, kept).get(f"/activate/device/?user_code={device.codes['user_code']}")
    assert "Sign in" in again.text


def test_new_password_ends_the_session(server, ada):
    _, browser, shown = question(server, ada)
    command = [PROGRAM, "user", "set-password", ada, "--data", str(server.data_dir)]
    subprocess.run(command, input=PASSWORD, text=True, capture_output=True, timeout=60, check=True)
    refused = answer(browser, shown)
    assert (refused.status, "session has ended" in refused.text) == (403, True)


@pytest.mark.parametrize("cookie", ["", "own_" + "x" * 43, "\x00", "a=b; c"])
def test_other_cookies_are_nobody(server, cookie):
    code = ask(server).codes["user_code"]
    browser = Browser(server, {"ownroot_session": cookie} if cookie.isprintable() else {})
    assert "Sign in" in browser.get(f"/activate/device/?user_code={code}").text


def test_sign_ins_and_refused_ones_are_on_record_without_what_was_typed(server, ada):
    question(server, ada)
    code = ask(server).codes["user_code"]
    for name in (ada, "a-password-typed-as-name"):
        Browser(server).sign_in(name, WRONG, code)
    polis_id = next(user["polis-id"] for user in server.run("user", "list") if user["name"] == ada)
    unknown, refused, accepted = server_events(server)[:3]
    assert (accepted.kind, accepted.subject) == (EventKind.LOGIN_ACCEPTED, polis_id)
    assert (refused.kind, refused.subject) == (EventKind.LOGIN_REFUSED, polis_id)
    assert (unknown.kind, unknown.subject, unknown.details["code"]) == (EventKind.LOGIN_REFUSED, "", "sign-in-refused")


def server_events(server):
    """Events that belong to no factory, newest first."""
    database = open_database(server.data_dir / "ownroot.db")
    try:
        return database.read(lambda uow: uow.audit.list(None))
    finally:
        database.close()


# --- who may not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "password"), [(None, WRONG), ("nobody-of-that-name", PASSWORD)])
def test_wrong_password_and_unknown_name_are_told_the_same(server, ada, name, password):
    code = ask(server).codes["user_code"]
    refused = Browser(server).sign_in(name or ada, password, code)
    assert refused.status == 403
    assert "Name and password do not go together." in refused.text
    assert "set-cookie" not in refused.headers


def test_user_without_a_password_does_not_sign_in(server):
    server.run("user", "create", "machine", "--no-password")
    assert Browser(server).sign_in("machine", PASSWORD, ask(server).codes["user_code"]).status == 403


def test_guessing_one_password_is_stopped_with_the_time_to_wait(server, ada):
    code = ask(server).codes["user_code"]
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: Browser(server).sign_in(ada, WRONG, code).status, range(12)))
    assert sorted(statuses) == [403] * 10 + [429] * 2
    refused = Browser(server).sign_in(ada, PASSWORD, code)
    assert refused.status == 429
    assert "Try again in" in refused.text
    assert int(refused.headers["retry-after"]) > 0


def test_guessing_codes_is_stopped_for_the_user(server, ada):
    device, browser, _ = question(server, ada)
    for _ in range(10):
        assert browser.get("/activate/device/?user_code=BBBB-BBBB").status == 404
    refused = browser.get(f"/activate/device/?user_code={device.codes['user_code']}")
    assert (refused.status, "Too many failed codes" in refused.text) == (429, True)


@pytest.mark.parametrize(("role", "status"), [(None, 404), ("auditor", 403)])
def test_strangers_and_auditors_do_not_see_the_question(server, role, status):
    shown = Browser(server).sign_in(make_user(server, role), PASSWORD, ask(server).codes["user_code"])
    assert shown.status == status
    assert "Allow</button>" not in shown.text


def test_decision_counts_once(server, ada):
    device, browser, shown = question(server, ada)
    assert answer(browser, shown, "deny").status == 200
    assert answer(browser, shown, "allow").status == 404
    assert device.poll().refusal == (400, "access_denied", "authorization-denied")


# --- forged and broken forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("csrf", ["", "0" * 64, "ä"])
def test_form_without_the_token_of_the_session_decides_nothing(server, ada, csrf):
    device, browser, shown = question(server, ada)
    assert answer(browser, shown, csrf=csrf).status == 403
    assert device.poll().refusal[1] == "authorization_pending"
    assert answer(browser, shown).status == 200


def test_token_of_another_session_decides_nothing(server, ada):
    device, browser, _ = question(server, ada)
    _, _, foreign = question(server, ada)
    refused = answer(browser, foreign, user_code=device.codes["user_code"])
    assert refused.status == 403
    assert device.poll().refusal[1] == "authorization_pending"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Sec_Fetch_Site": "", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "", "Origin": "null"},
    ],
    ids=str,
)
def test_form_of_another_site_does_nothing(server, ada, headers):
    device, browser, shown = question(server, ada)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    assert browser.post("/activate/device/", shown.hidden | {"decision": "allow"}, **sent).status == 403
    forged = {"name": ada, "password": PASSWORD, "user_code": device.codes["user_code"]}
    assert Browser(server).post("/activate/sign-in/", forged, **sent).status == 403
    assert device.poll().refusal[1] == "authorization_pending"


def test_browser_that_says_nothing_of_sites_is_taken_by_its_token(server, ada):
    _, browser, shown = question(server, ada)
    fields = shown.hidden | {"decision": "allow"}
    assert browser.post("/activate/device/", fields, **{"Sec-Fetch-Site": "", "Origin": ""}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"user_code=A", 400),
        (b"user_code=BCDF-GHJK&user_code=BCDF-GHJK", 400),
        (b"user_code=%ff", 400),
    ],
    ids=["empty", "short", "doubled", "not UTF-8"],
)
def test_broken_forms_get_a_page_that_says_so(server, body, status):
    for path in ("/activate/", "/activate/sign-in/", "/activate/device/"):
        refused = Browser(server).post(path, body)
        assert refused.status == status
        assert refused.headers["content-type"] == "text/html; charset=utf-8"
        assert 'role="alert"' in refused.text


def test_form_that_is_too_large_is_refused_before_it_is_read(server):
    refused = Browser(server).post("/activate/sign-in/", b"", **{"Content-Length": "1200000"})
    assert (refused.status, refused.headers["connection"]) == (413, "close")
    assert 'role="alert"' in refused.text


def test_decision_that_is_neither_decides_nothing(server, ada):
    device, browser, shown = question(server, ada)
    assert answer(browser, shown, "maybe").status == 400
    assert device.poll().refusal[1] == "authorization_pending"


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "'\"&<b>"])
def test_whatever_was_typed_comes_back_as_text(server, text):
    code = ask(server).codes["user_code"]
    refused = Browser(server).sign_in(text, WRONG, code)
    assert text not in refused.text
    for page in (Browser(server).get(f"/activate/?user_code={text.replace('&', '%26')}".replace(" ", "")), refused):
        assert "<script>" not in page.text
        assert "<b>" not in page.text


@pytest.mark.parametrize("path", ["/activate/", "/activate/device/?user_code=BCDF-GHJK", "/activate/device/"])
def test_every_page_shuts_others_out(server, path):
    headers = Browser(server).get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert policy[:2] == ["default-src 'none'", "style-src 'self'"]
    assert {"form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert headers["cache-control"] == "no-store"
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


def test_pages_are_no_part_of_the_apis_description(server):
    assert not [path for path in server.call("GET", "/openapi.json").json()["paths"] if "activate" in path]


def test_no_password_and_no_session_reaches_the_log_or_the_database(server, ada):
    _, browser, _ = question(server, ada)
    kept = b"".join(path.read_bytes() for path in server.data_dir.glob("ownroot.db*"))
    for secret in (PASSWORD, browser.cookies["ownroot_session"]):
        assert secret not in server.log
        assert secret.encode() not in kept
