"""The terminal side of `config device-group`."""

from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.wire.devices import GroupForm


def show_groups(target: Target, *, as_json: bool) -> None:
    """Fetch and show all groups."""
    with Api(target.access()) as api:
        groups = api.device_groups()
    output = Output(as_json=as_json)
    if as_json:
        output.document(groups)
    elif not groups.groups:
        output.note("No device groups.")
    for group in groups.groups:
        output.line(f"{group.name:20} {group.description}".rstrip())


def make_group(target: Target, name: str, description: str, *, as_json: bool) -> None:
    """Make a group."""
    with Api(target.access()) as api:
        api.create_device_group(name, description=description)
    _say(f"Made the device group {name}.", {"created": name}, as_json=as_json)


def change_group(target: Target, name: str, new_name: str | None, description: str | None, *, as_json: bool) -> None:
    """Rename or describe a group."""
    with Api(target.access()) as api:
        api.change_device_group(name, GroupForm(name=new_name, description=description))
    _say(f"Changed the device group {name}.", {"changed": name}, as_json=as_json)


def remove_group(target: Target, name: str, *, as_json: bool) -> None:
    """Delete a group."""
    with Api(target.access()) as api:
        api.delete_device_group(name)
    _say(f"Deleted the device group {name}.", {"deleted": name}, as_json=as_json)


def _say(text: str, document: dict[str, str], *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    output.line(text)
    if as_json:
        output.document(document)
