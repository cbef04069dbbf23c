"""GET and PATCH /config, GET /config-device (protocol: gateway.md §6.3-6.5).

Whether a device has what it should have is decided from memory, so that the question that devices ask all day costs no
look-up. Only an answer with content reads the store.
"""

from dataclasses import dataclass
from typing import Final

from ownroot.fleet.config_times import NEVER, ConfigAnswer, decide_answer, print_http_date
from ownroot.gateway.config_fetches import ConfigFetchRecorder
from ownroot.gateway.device_pace import DevicePace
from ownroot.gateway.endpoints.call import Answer, DeviceCall
from ownroot.gateway.endpoints.routes import Route, paced
from ownroot.gateway.responses import Response
from ownroot.gateway.store import Store
from ownroot.services.config_vault import ConfigVault
from ownroot.services.device_config import DevicePatch, patch_own_config, read_delivery, read_own_delivery
from ownroot.services.records import ConfigFetch
from ownroot.wire.config import config_files, parse_device_patch, print_delivery

PATCH_BYTES: Final = 2_000_000  # a whole configuration, its line breaks escaped
_NOTHING: Final = Response(204)
_NOT_MODIFIED: Final = Response(304)
_JSON: Final = b"application/json"


@dataclass(frozen=True, slots=True)
class ConfigEndpoints:
    """Handlers for a device's configuration."""

    store: Store
    vault: ConfigVault
    fetches: ConfigFetchRecorder

    def routes(self, changes: DevicePace) -> dict[str, Route]:
        """Declare them; `changes` says how often a device may change its own."""
        return {
            "/config": Route({"GET": self.show, "PATCH": paced(self.patch, changes)}, PATCH_BYTES),
            "/config-device": Route({"GET": self.show_own}),
        }

    def show(self, call: DeviceCall) -> Answer:
        """What its owner wants on it: 200 with every file, 304 if it has them, 204 if nothing was ever configured."""
        decided = decide_answer(
            call.shared_config.of(call.device).effective,
            _if_modified_since(call),
            fetch_anew=self.fetches.is_to_fetch_anew(call.device),
            now=call.now,
        )
        if decided is ConfigAnswer.NOT_MODIFIED:
            return _NOT_MODIFIED
        return _NOTHING if decided is ConfigAnswer.NOTHING_EVER else self._deliver(call)

    async def _deliver(self, call: DeviceCall) -> Response:
        device, vault = call.device, self.vault
        delivery = await self.store.read(lambda uow: read_delivery(uow, vault, device))
        if delivery.config_time == NEVER:
            return _NOTHING
        if call.request.method == "GET":
            self.fetches.note(
                ConfigFetch(device.factory_id, device.uuid, device.spki_sha256, delivery.config_time, call.now)
            )
        date = print_http_date(delivery.config_time).encode("ascii")
        return Response(200, print_delivery(delivery.files), _JSON, headers=((b"Date", date),))

    async def show_own(self, call: DeviceCall) -> Response:
        """A device's own files alone, which it encrypts anew when it changes its key."""
        device, vault = call.device, self.vault
        files = await self.store.read(lambda uow: read_own_delivery(uow, vault, device))
        return Response(200, print_delivery(files), _JSON) if files else _NOTHING

    async def patch(self, call: DeviceCall) -> Response:
        """Files it tells us of, or has encrypted to its next key."""
        form = parse_device_patch(call.request.body)
        patch = DevicePatch(config_files(form.files), form.reason, form.public_key)
        device, vault, now = call.device, self.vault, call.now
        await self.store.write(lambda uow: patch_own_config(uow, vault, device, patch, now=now))
        return Response(201)


def _if_modified_since(call: DeviceCall) -> str | None:
    header = call.request.headers.get(b"if-modified-since")
    return None if header is None else header.decode("latin-1")
