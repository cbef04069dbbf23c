"""The terminal side of `devices quarantine`, `release` and `clone-policy`, and how a suspicion is worded."""

from typing import Final

from ownroot.cli.devices_standing_run import find_device, worded
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.console.text import one_line
from ownroot.errors import InvalidInputError

_POLICIES: Final = {
    "tell": "A device whose key seems to be copied is marked and goes on.",
    "quarantine": "A device whose key seems to be copied is refused until it is released.",
}


def quarantine_one(target: Target, name: str, reason: str, *, assume_yes: bool, as_json: bool) -> None:
    """Put one device in quarantine and say so. Raises InvalidInputError `reason-invalid`, as the server does."""
    _require_line(reason)
    output, access = Output(as_json=as_json), target.access()
    if output.can_ask:
        output.confirm(f"Refuse {name} of factory {access.factory} until it is released?", assume_yes=assume_yes)
    with Api(access) as api:
        before = find_device(api, name)
        device = api.quarantine(name if before is None else before.uuid, reason)
    if as_json:
        output.document(device)
        return
    output.line(one_line(f"Device {device.name} ({device.uuid}) is in quarantine: the gateway refuses it."))
    if before is not None and before.suspicion is not None and before.suspicion.quarantined_at is not None:
        output.note("It was in quarantine before; nothing was changed, and a reason given now is kept nowhere.")
    if device.suspicion is not None:
        output.line(one_line(f"  {worded(device.suspicion)}"))
    output.line(f"To let it in again: ownroot devices release {device.uuid}")


def release_one(target: Target, name: str, reason: str, *, assume_yes: bool, as_json: bool) -> None:
    """End the suspicion of one device and say what to do next. Raises InvalidInputError `reason-invalid`."""
    _require_line(reason)
    output, access = Output(as_json=as_json), target.access()
    if output.can_ask:
        output.confirm(f"Let {name} of factory {access.factory} go on with the key it has?", assume_yes=assume_yes)
    with Api(access) as api:
        before = find_device(api, name)
        device = api.release(name if before is None else before.uuid, reason)
    if as_json:
        output.document(device)
        return
    output.line(one_line(f"Device {device.name} ({device.uuid}) is released: the gateway lets it in."))
    output.line("If its key was copied, the copy is let in too. Give the device a new key now:")
    output.line(f"  ownroot devices config rotate-certs -u {device.uuid} -r 'its key may be copied'")


def _require_line(reason: str) -> None:
    """Judge here what cannot travel: a server refuses control characters in a query before it knows what they are."""
    if not reason.isprintable():
        raise InvalidInputError("reason-invalid", "A reason is one line, without control characters.")


def show_or_set_policy(target: Target, wanted: str | None, *, as_json: bool) -> None:
    """Show what is in force, after setting it if asked to."""
    output = Output(as_json=as_json)
    with Api(target.access()) as api:
        match wanted:
            case "tell" | "quarantine":
                policy = api.set_clone_policy(wanted)
            case _:
                policy = api.clone_policy()
    if as_json:
        output.document(policy)
    else:
        output.line(_POLICIES[policy.on_suspicion])
