"""A person allows a device in a real browser, with the keyboard, on a phone's screen, without script."""

import os
import re
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ownroot.clock import utc_now
from tests.support.certificates import device_ca, factory_root
from tests.support.device_csrs import device_csr
from tests.support.device_flow import AskingDevice, ask
from tests.support.held_on_server import held_device
from tests.support.tools import require_tool
from tests.support.world import PROGRAM, RunningServer

PASSWORD = "correct horse battery"
expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong
_numbers = count(1)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's browser; playwright brings none of its own here."""
    path = require_tool("chromium")
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that root in a container lacks; the pages are ours.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=[*options, "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A phone's screen, where no script runs; whatever the browser complains of fails the test."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False, service_workers="block"
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    # The browser counts a page that answers 403 among its complaints; that one is asked for.
    assert [text for text in complaints if "status of 4" not in text] == []


@pytest.fixture(params=["light", "dark"])
def small(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The smallest screen in use, by day and by night."""
    viewport = {"width": 360, "height": 740}
    context = chromium.new_context(viewport=viewport, java_script_enabled=False, color_scheme=request.param)
    yield context.new_page()
    context.close()


@pytest.fixture
def ada(server: RunningServer) -> str:
    name = f"ada-{next(_numbers)}"
    command = [PROGRAM, "user", "create", name, "--data", str(server.data_dir)]
    subprocess.run(command, input=PASSWORD, text=True, capture_output=True, timeout=60, check=True)
    server.run("member", "add", "-f", "acme", "--user", name, "--role", "member")
    return name


def open_question(page: Page, device: AskingDevice, name: str) -> None:
    """Come as far as the question, by keyboard alone."""
    page.goto(device.codes["verification_uri"])
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(device.codes["user_code"].lower())
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Allow this device?")


def take_picture(page: Page, folder: Path, name: str) -> None:
    """Keep what a person sees, for whoever looks at a failure; nothing may stick out of a phone's screen."""
    page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert page.viewport_size is not None
    for part in ("body", "main > *", "dd", "button"):
        for box in [element.bounding_box() for element in page.locator(part).all()]:
            assert box is not None
            assert box["x"] + box["width"] <= page.viewport_size["width"]


def test_device_is_allowed_by_keyboard_alone(page: Page, server: RunningServer, ada: str, tmp_path: Path) -> None:
    device = ask(server)
    page.goto(device.codes["verification_uri"])
    take_picture(page, tmp_path, "1-code")
    open_question(page, device, ada)
    for text in (device.uuid, "acme", ada, device.codes["user_code"], "127.0.0.1"):
        expect(page.locator("main")).to_contain_text(text)
    take_picture(page, tmp_path, "2-question")
    page.get_by_role("button", name="Allow").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("may register")
    take_picture(page, tmp_path, "3-result")
    assert device.register(device.token())[0] == 201


def register(server: RunningServer, uuid: str, **more: str) -> None:
    document = {"csr": device_csr(uuid, factory="acme"), "hardware-id": "h", **more}
    assert server.call("POST", "/ota/devices/", document=document).status_code == 201


def test_what_is_on_record_is_read_before_the_buttons(
    small: Page, server: RunningServer, ada: str, tmp_path: Path
) -> None:
    uuid, group = str(uuid4()), f"line-of-{ada}"
    assert server.call("POST", "/ota/factories/acme/device-groups/", document={"name": group}).status_code == 201
    register(server, uuid, name=f"pump-of-{ada}", group=group)
    open_question(small, ask(server, uuid), ada)
    warning = small.locator(".warning")
    expect(warning).to_contain_text("A device with this uuid is known already.")
    for text in (f"pump-of-{ada}", group):
        expect(small.locator("dl")).to_contain_text(text)
    take_picture(small, tmp_path, "known")
    button, note = small.get_by_role("button", name="Allow").bounding_box(), warning.bounding_box()
    assert button is not None
    assert note is not None
    assert note["y"] + note["height"] < button["y"]


def test_deleted_and_held_devices_are_named_as_such(
    small: Page, server: RunningServer, ada: str, tmp_path: Path
) -> None:
    uuid = str(uuid4())
    register(server, uuid)
    assert server.call("DELETE", f"/ota/devices/{uuid}/?factory=acme&by-uuid=1").status_code == 204
    held_device(server, device_ca(factory_root("acme", now=utc_now()), "acme", now=utc_now()), uuid)
    open_question(small, ask(server, uuid), ada)
    warnings = small.locator(".warning strong")
    expect(warnings).to_have_text(
        ["This device was deleted and is on the deny list.", "A device with this uuid is held for review."]
    )
    take_picture(small, tmp_path, "deleted-and-held")


def test_device_is_denied(page: Page, server: RunningServer, ada: str) -> None:
    device = ask(server)
    open_question(page, device, ada)
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Device denied")
    assert device.poll().refusal == (400, "access_denied", "authorization-denied")


def test_wrong_password_is_announced_and_tied_to_its_field(
    page: Page, server: RunningServer, ada: str, tmp_path: Path
) -> None:
    device = ask(server)
    page.goto(device.codes["verification_uri_complete"])
    expect(page.get_by_label("Code")).to_have_value(device.codes["user_code"])
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name").fill(ada)
    page.get_by_label("Password").fill("wrong horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    expect(page.get_by_label("Password")).to_have_accessible_description(re.compile("do not go together"))
    expect(page.get_by_label("Name")).to_have_value(ada)
    take_picture(page, tmp_path, "wrong-password")


def test_every_page_has_one_heading_a_title_and_named_controls(page: Page, server: RunningServer, ada: str) -> None:
    device = ask(server)
    page.goto(device.codes["verification_uri"])
    seen = [page.get_by_role("heading").all_inner_texts()]
    open_question(page, device, ada)
    seen.append(page.get_by_role("heading").all_inner_texts())
    assert seen == [["Allow a device"], ["Allow this device?"]]
    assert page.title() == "Allow this device? - Ownroot"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_role("button").all_inner_texts() == ["Allow", "Deny", "Sign out"]


def test_session_ends_with_sign_out(page: Page, server: RunningServer, ada: str) -> None:
    device = ask(server)
    open_question(page, device, ada)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Code")).to_be_visible()
    page.goto(f"{server.api_url}/activate/device/?user_code={device.codes['user_code']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
