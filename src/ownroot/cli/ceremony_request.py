"""The connected machine's first half of a ceremony: ask the server for what the offline machine will need."""

from collections.abc import Callable, Iterator
from datetime import datetime

from ownroot import __version__
from ownroot.cli.ceremony_orders import order_of
from ownroot.cli.judging import NAMES_SHOWN
from ownroot.cli.pki_changes import (
    Change,
    CreatePki,
    JudgeDeviceCas,
    csr_request,
    read_csrs,
    require_known,
)
from ownroot.client.access import ApiAccess
from ownroot.client.api import Api, CertsAnswer
from ownroot.client.device_query import DeviceQuery
from ownroot.errors import ConflictError, NotFoundError, RefusedError
from ownroot.pki.serials import serial_text
from ownroot.wire.ceremony import PENDING_KEY_LIFETIME, CeremonyRequest, Devices, state_sha256
from ownroot.wire.certs import CsrReply

# Makes the change once it is known whose token this is: a local device CA names its user.
Draft = Callable[[str], Change]

TOOL = f"ownroot/{__version__}"


def make_request(api: Api, access: ApiAccess, draft: Draft, *, now: datetime) -> CeremonyRequest:
    """Ask the server for everything a change needs, its new keys last.

    Raises:
        ConflictError: `already-taken-over`.
        NotFoundError: `pki-not-set-up`, `no-such-device-ca`.
        OwnrootError: whatever else the server says.
    """
    user = api.self_user()
    change = draft(user.polis_id)
    answer = api.certs()
    _check_possible(change, answer, access.factory)
    devices = tuple(_concerned(api, change))
    asked = csr_request(change)
    reply = api.request_csrs(asked) if asked is not None else CsrReply()
    read_csrs(change, reply, access.factory)
    # Asked again: what came between is told now rather than after the walk to the offline machine.
    state = api.certs().certs
    return CeremonyRequest(
        factory=access.factory,
        server_url=access.url,
        requested_at=now,
        requested_by=f"{user.name} ({user.polis_id})",
        tool=TOOL,
        change=order_of(change),
        csrs=reply,
        state=state,
        state_sha256=state_sha256(state),
        devices=devices,
        expires_at=now + PENDING_KEY_LIFETIME if asked is not None else None,
    )


def _check_possible(change: Change, answer: CertsAnswer, factory: str) -> None:
    if isinstance(change, CreatePki):
        if answer.is_taken_over:
            raise ConflictError("already-taken-over", f"Factory {factory} has a root already.")
        return
    if not answer.is_taken_over:
        raise NotFoundError("pki-not-set-up", "The factory has no root of its own yet, so there is nothing to change.")
    if isinstance(change, JudgeDeviceCas):
        require_known(change, answer.certs)


def _concerned(api: Api, change: Change) -> Iterator[Devices]:
    if isinstance(change, CreatePki):
        yield _devices(api, None)
    if isinstance(change, JudgeDeviceCas):
        for serial in change.serials:
            yield _devices(api, serial_text(serial))


def _devices(api: Api, serial: str | None) -> Devices:
    try:
        page = api.devices(DeviceQuery(ca_serial=serial, sortby="name", limit=NAMES_SHOWN))
    except RefusedError:
        return Devices(ca_serial=serial, count=None)
    names = tuple(device.name or device.uuid for device in page.devices)
    return Devices(ca_serial=serial, count=page.total, names=names if serial is not None else ())
