"""Devices that ask to be registered, and somebody who decides about them."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ownroot.clock import utc_now
from ownroot.services.authorize_registration import decide
from ownroot.services.steps import run_blocking
from ownroot.services.user_codes import parse_user_code
from ownroot.storage import open_database
from ownroot.wire.oauth import DEVICE_CODE
from tests.support.device_csrs import device_csr
from tests.support.oauth_forms import FormAnswer, post_form
from tests.support.world import RunningServer


@dataclass(frozen=True, slots=True)
class AskingDevice:
    """A device as the programs of the field write it: every body raw."""

    server: RunningServer
    uuid: str
    codes: dict[str, Any]

    def poll(self, **changes: str) -> FormAnswer:
        """Ask for the token."""
        form = {
            "grant_type": DEVICE_CODE,
            "device_code": self.codes["device_code"],
            "client_id": self.uuid,
            "scope": f"{self.server.factory}:devices:create",
        }
        body = "&".join(f"{name}={value}" for name, value in (form | changes).items() if value)
        return post_form(self.server, "/oauth/token/", body)

    def token(self) -> str:
        """Ask for the token, which must come."""
        answer = self.poll()
        assert answer.status == 200, answer.body
        return str(answer.json["access_token"])

    def register(self, token: str, csr: str | None = None, *, uuid: str | None = None) -> tuple[int, Any]:
        """Register with the token, as programs of the field show it; returns status and document."""
        name = uuid or self.uuid
        document = {"csr": csr or device_csr(name, factory=self.server.factory), "hardware-id": "test", "uuid": name}
        bearer = "Bearer " + base64.b64encode(token.encode()).decode()
        answer = self.server.call(
            "POST", "/ota/devices/", token=None, document=document, headers={"Authorization": bearer}
        )
        return answer.status_code, json.loads(answer.content)


def ask(server: RunningServer, uuid: str | None = None) -> AskingDevice:
    """Let a device ask for its codes."""
    name = uuid or str(uuid4())
    body = f"client_id={name}&scope={server.factory}:devices:create"
    answer = post_form(server, "/oauth/authorization/device/", body)
    assert answer.status == 200, answer.body
    return AskingDevice(server, name, answer.json)


def settle(device: AskingDevice, *, allow: bool) -> None:
    """Let the factory's owner decide, beside the running server."""
    database = open_database(device.server.data_dir / "ownroot.db")
    try:
        owner = database.read(lambda uow: uow.accounts.find_user(device.server.owner_id))
        assert owner is not None
        code = parse_user_code(device.codes["user_code"])
        run_blocking(decide(owner, code, allow=allow, peer="192.0.2.9", now=utc_now()), database)
    finally:
        database.close()


def allowed(server: RunningServer) -> AskingDevice:
    """Return a device that was allowed to register."""
    device = ask(server)
    settle(device, allow=True)
    return device
