"""The terminal side of `devices rename|chown|list-denied|delete-denied|why`."""

import contextlib
from typing import Final

from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.console.refusal_advice import remedy_for
from ownroot.console.text import counted, one_line
from ownroot.errors import NotFoundError
from ownroot.wire.devices import DeviceForm, DeviceObject, SuspicionObject
from ownroot.wire.refusals import RefusalObject

_GOES_ON: Final = (
    "It goes on. If not both are the device's own, renew its key (`ownroot devices config rotate-certs`), or cut it "
    "off (`ownroot devices quarantine`); then `ownroot devices release` takes the mark away."
)


def change_one(target: Target, name: str, form: DeviceForm, *, by_uuid: bool, as_json: bool) -> None:
    """Change one device and say what it is now."""
    with Api(target.access()) as api:
        device = api.change_device(name, form, by_uuid=by_uuid)
    output = Output(as_json=as_json)
    if as_json:
        output.document(device)
        return
    output.line(f"Device {device.uuid}: name {device.name}, owner {device.owner}.")


def show_denied(target: Target, *, page: int, limit: int, as_json: bool) -> None:
    """Show one page of the deny list."""
    with Api(target.access()) as api:
        denied = api.denied_devices(page=page, limit=limit)
    output = Output(as_json=as_json)
    if as_json:
        output.document(denied)
        return
    for device in denied.devices:
        output.line(one_line(f"{device.uuid}  {device.name or '-'}  owner {device.owner or '-'}"))
    more = f" Next: -p {page + 1}." if denied.next else ""
    output.note(f"{len(denied.devices)} of {counted(denied.total, 'denied device')}.{more}")


def lift_denials(target: Target, uuids: tuple[str, ...], *, assume_yes: bool, as_json: bool) -> None:
    """Take uuids off the deny list, one after the other; the first failure ends it."""
    output = Output(as_json=as_json)
    access = target.access()
    listed = uuids[0] if len(uuids) == 1 else f"these {len(uuids)} uuids"
    if output.can_ask:
        output.confirm(f"Let {listed} into factory {access.factory} again?", assume_yes=assume_yes)
    lifted: list[str] = []
    with Api(access) as api:
        for uuid in uuids:
            api.lift_denial(uuid)
            lifted.append(uuid)
            output.line(f"{uuid} is off the deny list; a good certificate lets it in.")
    if as_json:
        output.document({"factory": access.factory, "lifted": lifted})


def explain(target: Target, name: str, *, limit: int, as_json: bool) -> None:
    """Show why a device was refused."""
    with Api(target.access()) as api:
        device = find_device(api, name)
        uuid = name if device is None else device.uuid
        found = api.refusals(uuid, limit=limit)
        left = find_left_handshakes(api)
    output = Output(as_json=as_json)
    if as_json:
        explained = [{**_facts(refusal), "remedy": remedy_for(refusal.code)} for refusal in found.refusals]
        of_nobody = None if left is None else {**_facts(left), "remedy": remedy_for(left.code)}
        suspicion = None if device is None else device.suspicion
        output.document({"uuid": uuid, "refusals": explained, "left-handshakes": of_nobody, "suspicion": suspicion})
        return
    if device is not None and device.suspicion is not None:
        output.line(one_line(f"Its key may be copied: {worded(device.suspicion)}"))
        output.line(
            f"  What to do: {remedy_for('device-quarantined') if device.suspicion.quarantined_at else _GOES_ON}"
        )
    for refusal in found.refusals:
        times = "once" if refusal.count == 1 else f"{refusal.count} times since {refusal.first_at}"
        output.line(one_line(f"{refusal.last_at}  {refusal.code}, {times}, last from {refusal.peer}"))
        output.line(one_line(f"  {refusal.detail}"))
        output.line(f"  What to do: {remedy_for(refusal.code)}")
    if device is None:
        output.note(one_line(_unknown(name, is_refused=bool(found.refusals))))
    elif not found.refusals:
        output.note(f"The gateway has no refusal of {uuid} on record. A device that never gets there leaves none.")
    if left is not None:
        times = "once" if left.count == 1 else f"{left.count} times since {left.first_at}"
        output.line(one_line(f"Of the whole factory: {left.code}, {times}, last at {left.last_at} from {left.peer}"))
        output.line("  Such a device leaves before it says which it is, so this one may be among them.")
        output.line(f"  What to do: {remedy_for(left.code)}")


def _unknown(name: str, *, is_refused: bool) -> str:
    """Say that nobody is known by this name: nothing on record is no all-clear then."""
    if is_refused:
        return f"No device of the factory has the uuid {name} now; whoever comes with it is refused as said above."
    return (
        f"No device of the factory has the name or uuid {name!r} now, and the gateway has no refusal of that uuid on "
        "record. Devices that are not known are filed by uuid alone: find it in the device's sota.toml or, if it was "
        "deleted, with `ownroot devices list-denied`; names that are known, with `ownroot devices list`."
    )


def find_left_handshakes(api: Api) -> RefusalObject | None:
    """Return the factory's one record of devices that did not trust the gateway; they leave no name behind."""
    of_nobody = api.refusals("", limit=1000).refusals
    return next((refusal for refusal in of_nobody if refusal.code == "device-trusts-another-root"), None)


def worded(suspicion: SuspicionObject) -> str:
    """Say a suspicion in one line."""
    since = (
        f"in quarantine since {suspicion.quarantined_at}" if suspicion.quarantined_at else f"since {suspicion.since}"
    )
    return f"{since} ({suspicion.sign}). {suspicion.detail}"


def find_device(api: Api, name: str) -> DeviceObject | None:
    """Return a device by name or uuid; None: a uuid that is not known, or not any more."""
    for by_uuid in (False, True):
        with contextlib.suppress(NotFoundError):
            return api.device(name, by_uuid=by_uuid)
    return None


def _facts(refusal: RefusalObject) -> dict[str, object]:
    return {
        "code": refusal.code,
        "detail": refusal.detail,
        "certificate-sha256": refusal.certificate_sha256,
        "peer": refusal.peer,
        "count": refusal.count,
        "first-at": refusal.first_at,
        "last-at": refusal.last_at,
    }
