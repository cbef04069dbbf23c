"""A person's browser without its screen: keeps cookies, fills in the forms of pages, follows where it is sent."""

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

from tests.support.world import RunningServer

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of its forms."""
        reader = _Fields()
        reader.feed(self.text)
        return reader.hidden


@dataclass
class Browser:
    """Sends requests as a browser on the server's own site does; a test changes what it sends."""

    server: RunningServer
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Page:
        """Follow a link."""
        return self._send("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str] | bytes, **headers: str) -> Page:
        """Send a form."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        origin = {"Content-Type": FORM, "Origin": self.server.api_url, "Sec-Fetch-Site": "same-origin"}
        return self._send("POST", path, body, origin | headers)

    def sign_in(self, name: str, password: str, code: str) -> Page:
        """Sign in and go where that leads."""
        answer = self.post("/activate/sign-in/", {"name": name, "password": password, "user_code": code})
        return self.get(answer.headers["location"]) if answer.status == 303 else answer

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Page:
        address = urlsplit(self.server.api_url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            if "set-cookie" in names:
                name, _, value = names["set-cookie"].partition(";")[0].partition("=")
                self.cookies[name] = value
            return Page(response.status, names, response.read().decode())
        finally:
            connection.close()


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "input" and known.get("type") == "hidden":
            self.hidden[known.get("name") or ""] = known.get("value") or ""
