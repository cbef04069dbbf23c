"""Text from others on the terminal of the owner: nothing in it moves the cursor or hides a line."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.owner import Owner

ESCAPES = "a\x1b[2J\x1b]0;owned\x07\x9b31m\u202eb\r"
DEVICE = {
    "factory": ESCAPES,
    "name": ESCAPES,
    "uuid": ESCAPES,
    "device-group": ESCAPES,
    "target-name": ESCAPES,
    "tag": ESCAPES,
    "owner": "somebody",
}


class HostileServer(BaseHTTPRequestHandler):
    """Answers what a taken-over server, or a device that got past one, would like the owner to see."""

    def do_GET(self) -> None:
        is_list = self.path.startswith("/ota/devices/?")
        if self.path.endswith("/users/"):
            self.answer(200, [{"polis-id": DEVICE["owner"], "name": ESCAPES, "role": "owner"}])
            return
        self.answer(200, {"devices": [DEVICE], "total": 1, "next": None} if is_list else DEVICE)

    def do_DELETE(self) -> None:
        self.answer(404, {"message": ESCAPES, "errors": {ESCAPES: ESCAPES}})

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def owner(tmp_path) -> Iterator[Owner]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileServer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Owner(tmp_path).at(url, factory="acme", token="own_" + "x" * 43).having(NO_COLOR="1")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_harmless(shown: str) -> bool:
    return not any(character in shown for character in "\x07\x9b\u202e") and "[2J" not in shown.replace("\\x1b[2J", "")


@pytest.mark.parametrize("command", [("list",), ("show", "some"), ("delete", "some", "--yes")])
def test_what_a_server_says_is_shown_with_its_escapes_spelled_out(owner, command):
    ran = owner.run_on_terminal("devices", *command)
    assert is_harmless(ran.out)
    assert "x1b" in ran.out


def test_question_about_a_name_shows_the_name_as_it_is(owner):
    ran = owner.run_on_terminal("devices", "delete", ESCAPES, typed="n\n")
    assert ran.code == 10
    assert is_harmless(ran.out)
    assert "\\x1b[2J" in ran.out
