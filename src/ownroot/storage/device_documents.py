"""The last documents of a device, and its reports of running apps."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from ownroot.services.records import Device
from ownroot.services.report_ports import MAX_APPS_STATES, AppsState, Document, DocumentKind
from ownroot.storage.inserts import insert, upsert
from ownroot.storage.schema import device_apps_states, device_documents, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Statement, param
from ownroot.storage.times import from_seconds, to_seconds

_FIND_REPORTER: Final = Statement(
    sa.select(devices.c.id).where(
        devices.c.factory_id == param("factory"),
        devices.c.uuid_folded == param("folded"),
        devices.c.uuid == param("wanted"),
        devices.c.spki_sha256 == param("key"),
    )
)
_FIND: Final = Statement(
    sa.select(device_documents.c.body, device_documents.c.received_at).where(
        device_documents.c.device_id == param("reporter"), device_documents.c.kind == param("wanted")
    )
)
_PUT: Final = upsert(
    device_documents,
    "device_id",
    "kind",
    "body",
    "received_at",
    conflict=("device_id", "kind"),
    update=lambda new: {"body": new.body, "received_at": new.received_at},
)
_OF_REPORTER: Final = device_apps_states.c.device_id == param("reporter")
_APPS_STATES: Final = Statement(
    sa.select(device_apps_states.c.body, device_apps_states.c.received_at)
    .where(_OF_REPORTER)
    .order_by(device_apps_states.c.id.desc())
)
_ADD_APPS_STATE: Final = insert(device_apps_states, "device_id", "body", "received_at")
_NEWEST_TO_GO: Final = (
    sa.select(device_apps_states.c.id)
    .where(_OF_REPORTER)
    .order_by(device_apps_states.c.id.desc())
    .limit(sa.literal_column("1"))
    .offset(sa.literal_column(str(MAX_APPS_STATES)))
    .scalar_subquery()
)
_TRIM: Final = Statement(sa.delete(device_apps_states).where(_OF_REPORTER, device_apps_states.c.id <= _NEWEST_TO_GO))


class SqlReporters:
    """Implements `services.report_ports.Reporters`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, device: Device) -> int | None:
        row = self._session.one(
            _FIND_REPORTER,
            factory=device.factory_id,
            folded=device.uuid.lower(),
            wanted=device.uuid,
            key=device.spki_sha256,
        )
        return None if row is None else int(row[0])


class SqlDeviceDocuments:
    """Implements `services.report_ports.DeviceDocuments`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, reporter: int, kind: DocumentKind) -> Document | None:
        row = self._session.one(_FIND, reporter=reporter, wanted=kind.value)
        return None if row is None else Document(kind, bytes(row[0]), from_seconds(row[1]))

    def put(self, reporter: int, document: Document) -> None:
        self._session.run(
            _PUT,
            device_id=reporter,
            kind=document.kind.value,
            body=document.body,
            received_at=to_seconds(document.received_at),
        )

    def apps_states(self, reporter: int) -> Sequence[AppsState]:
        rows = self._session.all(_APPS_STATES, reporter=reporter)
        return [AppsState(bytes(body), from_seconds(received_at)) for body, received_at in rows]

    def add_apps_state(self, reporter: int, state: AppsState) -> None:
        self._session.run(
            _ADD_APPS_STATE, device_id=reporter, body=state.body, received_at=to_seconds(state.received_at)
        )
        self._session.run(_TRIM, reporter=reporter)
