"""Raw requests to the OAuth endpoints, as device programs and OAuth libraries write them."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.world import RunningServer

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class FormAnswer:
    """Status, headers in lower case and body of one answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Status, OAuth error and our code; whatever an error of these endpoints must have is there."""
        said = self.json
        assert self.headers["content-type"] == "application/json"
        assert said["message"]
        assert said["error_description"].isascii()
        assert '"' not in said["error_description"]
        return self.status, said["error"], said["code"]


def post_form(server: RunningServer, path: str, body: bytes | str, **headers: str) -> FormAnswer:
    """Send a body as it is."""
    address = urlsplit(server.api_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    content = body.encode() if isinstance(body, str) else body
    sent = {"Content-Type": FORM} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", path, body=content, headers={name: text for name, text in sent.items() if text})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return FormAnswer(response.status, names, response.read())
    finally:
        connection.close()


def ask_token(server: RunningServer, /, **form: str) -> FormAnswer:
    """Ask for a token with a form that is percent-encoded."""
    return post_form(server, "/oauth/token/", urlencode(form))
