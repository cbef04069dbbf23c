"""`POST /ota/factories/{factory}/import/devices/`: pin the devices of a fleet that moves here (docs/wire)."""

from functools import partial

from ownroot.api.backend import Backend
from ownroot.services.authority import Principal
from ownroot.services.import_devices import ImportedDevice, ListedDevice, import_devices
from ownroot.services.scopes import Role, Scope
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.documents import read_document
from ownroot.wire.fleet_import import ImportForm, ImportList, ImportReply, ImportResult


class FleetImport:
    """Handler of the import."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def pin(self, call: Call[Principal]) -> Reply:
        """200 whatever became of each device: the results say it."""
        listed = tuple(_listed(form) for form in call.body.devices)
        work = partial(import_devices, listed=listed, by=call.caller, now=call.now)
        imported = await self._backend.commit(work)
        return Reply(body=ImportReply(results=tuple(map(_result, imported))))


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare it. Keys are pinned on the caller's word alone, so it takes the factory's owner or an admin."""
    return (
        Endpoint(
            method="POST",
            path="/ota/factories/{factory}/import/devices/",
            handler=FleetImport(backend).pin,
            access=Access(scopes=(Scope.DEVICES_CREATE.value,), roles=(Role.OWNER, Role.ADMIN), audited=True),
            summary="Pin devices by certificate or public key, up to 200 at once; known ones stay as they are.",
            body=JsonBody(lambda body: read_document(body, ImportList), ImportList),
            replies={200: ImportReply},
        ),
    )


def _listed(form: ImportForm) -> ListedDevice:
    return ListedDevice(
        uuid=form.uuid,
        certificate=form.certificate,
        public_key=form.public_key,
        name=form.name,
        group=form.group,
        production=form.production,
    )


def _result(imported: ImportedDevice) -> ImportResult:
    error = imported.error
    return ImportResult(
        uuid=imported.uuid,
        outcome=imported.outcome.value,
        code=None if error is None else error.code,
        detail=None if error is None else error.detail,
    )
