"""The terminal side of `devices quarantine`, `release` and `clone-policy`, and how a suspicion is worded."""

from typing import Final

from ownroot.cli.devices_standing_run import uuid_of
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.console.text import one_line

_POLICIES: Final = {
    "tell": "A device whose key seems to be copied is marked and goes on.",
    "quarantine": "A device whose key seems to be copied is refused until it is released.",
}


def quarantine_one(target: Target, name: str, reason: str, *, assume_yes: bool, as_json: bool) -> None:
    """Put one device in quarantine and say so."""
    output, access = Output(as_json=as_json), target.access()
    if output.can_ask:
        output.confirm(f"Refuse {name} of factory {access.factory} until it is released?", assume_yes=assume_yes)
    with Api(access) as api:
        device = api.quarantine(uuid_of(api, name), reason)
    if as_json:
        output.document(device)
        return
    output.line(one_line(f"Device {device.name} ({device.uuid}) is in quarantine: the gateway refuses it."))
    output.line(f"To let it in again: ownroot devices release {device.uuid}")


def release_one(target: Target, name: str, reason: str, *, assume_yes: bool, as_json: bool) -> None:
    """End the suspicion of one device and say what to do next."""
    output, access = Output(as_json=as_json), target.access()
    if output.can_ask:
        output.confirm(f"Let {name} of factory {access.factory} go on with the key it has?", assume_yes=assume_yes)
    with Api(access) as api:
        device = api.release(uuid_of(api, name), reason)
    if as_json:
        output.document(device)
        return
    output.line(one_line(f"Device {device.name} ({device.uuid}) is released: the gateway lets it in."))
    output.line("If its key was copied, the copy is let in too. Give it a new key now: ownroot config rotate-certs")


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
