"""The terminal side of `config` and `devices config`: what is sent, and what is shown."""

from dataclasses import dataclass
from pathlib import Path

from ownroot.cli.config_files import read_assignments, read_raw, seal_for
from ownroot.cli.options import Target
from ownroot.client.api import Api
from ownroot.client.config_places import ConfigPlace
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError
from ownroot.fleet.config_files import SECTIONED_FILE, parse_file_name
from ownroot.fleet.toml_sections import merge_sections, parse_sections, print_sections
from ownroot.pki.encoding import parse_ec_public_key
from ownroot.pki.names import parse_resource_name
from ownroot.wire.config import ConfigFileForm, ConfigForm, ConfigObject, config_files, file_forms
from ownroot.wire.devices import DeviceForm

_SECTIONED_HANDLER = ("/usr/share/fioconfig/handlers/aktualizr-toml-update",)


@dataclass(frozen=True, slots=True)
class SetOrder:
    """What `set` was asked for: files by name, or a whole request in a file."""

    words: tuple[str, ...]
    raw: Path | None
    unencrypted: bool
    reason: str
    create: bool


def set_files(target: Target, place: ConfigPlace, order: SetOrder, *, as_json: bool) -> None:
    """Merge files in, or with `create` put them in the place of all. A device's values are encrypted here.

    Raises:
        InvalidInputError: as `read_assignments` and `read_raw`; `device-without-key`.
    """
    form = _form(order)
    with Api(target.access()) as api:
        if place.device is not None:
            form = _sealed(api, place, form)
        stored = api.change_config(place, form, replaces=order.create)
    names = ", ".join(file.name for file in form.files)
    _say(stored, f"Configuration of {place}: {names or 'no file'}.", as_json=as_json)


def show_log(target: Target, place: ConfigPlace, *, limit: int, as_json: bool) -> None:
    """Show the last changes, newest first, with the names of those who made them."""
    with Api(target.access()) as api:
        names = {user.polis_id: user.name for user in api.users()}
        history = api.config_history(place, limit=limit)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"config": history})
        return
    if not history:
        output.note(f"Nothing was ever configured for {place}.")
    for entry in history:
        _draw(output, entry, names)


def delete_file(target: Target, place: ConfigPlace, name: str, *, as_json: bool) -> None:
    """Take one file out. Raises InvalidInputError `config-file-name`."""
    output = Output(as_json=as_json)
    with Api(target.access()) as api:
        api.delete_config_file(place, parse_file_name(name))
    output.line(f"Deleted {name} from the configuration of {place}. Devices delete it at their next visit.")
    if as_json:
        output.document({"deleted": name})


def set_updates(
    target: Target, place: ConfigPlace, *, tag: str | None, apps: str | None, force: bool, as_json: bool
) -> None:
    """Choose what devices follow; without anything to choose, show it.

    Args:
        tag, apps: comma lists; `,` alone is the field's word for none at all. None: as it is.
    Raises:
        InvalidInputError: `name-invalid`; `updates-encrypted`: what is there can be read by the device alone.
    """
    chosen = {**_chosen("--tag", tag, "tags"), **_chosen("--apps", apps, "docker_apps", "compose_apps")}
    with Api(target.access()) as api:
        history = api.config_history(place, limit=1)
        files = history[0].files if history else ()
        known = next((file for file in files if file.name == SECTIONED_FILE), None)
        sections = _sections(known)
        if not chosen:
            pacman = sections.get(("pacman",), {})
            _show_updates(pacman, place, as_json=as_json)
            return
        text = print_sections(merge_sections(sections, {("pacman",): chosen}))
        handler = (known.handler if known else ()) or _SECTIONED_HANDLER
        file = ConfigFileForm(name=SECTIONED_FILE, value=text, unencrypted=True, on_changed=handler)
        form = ConfigForm(files=(file,), reason="Override aktualizr-lite update configuration")
        stored = api.change_config(place, form, force=force)
    said = ", ".join(f"{key} = {value or '(none)'}" for key, value in chosen.items())
    _say(stored, f"Updates of {place}: {said}.", as_json=as_json)


def move_to_group(target: Target, name: str, group: str, *, by_uuid: bool, as_json: bool) -> None:
    """Put a device into a group, or with an empty name out of the one it is in."""
    with Api(target.access()) as api:
        device = api.change_device(name, DeviceForm(group=group), by_uuid=by_uuid)
    output = Output(as_json=as_json)
    output.line(f"{name} is in the group {group}." if group else f"{name} is in no group.")
    if as_json:
        output.document(device)


def _chosen(option: str, text: str | None, *keys: str) -> dict[str, str]:
    """Return what an option says of the update agent's settings; names are those that `targets add` takes."""
    if text is None:
        return {}
    names = [] if text.strip() == "," else text.split(",")
    for name in names:
        try:
            parse_resource_name(name)
        except InvalidInputError as exc:
            raise InvalidInputError(
                exc.code, f"{option}: {name!r} is no name. {exc.detail} A comma between names; `,` alone means none."
            ) from exc
    return dict.fromkeys(keys, ",".join(names))


def _form(order: SetOrder) -> ConfigForm:
    if order.raw is not None:
        form = read_raw(order.raw)
        return ConfigForm(files=form.files, reason=order.reason or form.reason)
    files = read_assignments(order.words, unencrypted=order.unencrypted)
    return ConfigForm(files=file_forms(files), reason=order.reason)


def _sealed(api: Api, place: ConfigPlace, form: ConfigForm) -> ConfigForm:
    device = api.device(place.device or "", by_uuid=place.by_uuid)
    if not device.public_key:
        raise InvalidInputError("device-without-key", "The device has no public key to encrypt with.")
    key = parse_ec_public_key(device.public_key)
    return ConfigForm(files=seal_for(config_files(form.files), key), reason=form.reason)


def _sections(file: ConfigFileForm | None) -> dict[tuple[str, ...], dict[str, str]]:
    if file is None or not file.value:
        return {}
    if not file.unencrypted and not file.value.lstrip().startswith(("[", "#")):
        raise InvalidInputError(
            "updates-encrypted",
            f"{SECTIONED_FILE} is encrypted for the device, so nobody else can change it: delete it or replace it.",
        )
    return parse_sections(file.value)


def _show_updates(pacman: dict[str, str], place: ConfigPlace, *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    if as_json:
        output.document(pacman)
    elif not pacman:
        output.note(f"Nothing is chosen for {place}; give --tag or --apps.")
    for key, value in pacman.items():
        output.line(f"{key} = {value}")


def _draw(output: Output, entry: ConfigObject, names: dict[str, str]) -> None:
    applied = f", applied {entry.applied_at}" if entry.applied_at else ""
    output.line(f"Created:  {entry.created_at} by {names.get(entry.created_by, entry.created_by)}{applied}")
    if entry.reason:
        output.line(f"Reason:   {entry.reason}")
    for file in entry.files:
        handler = f", on change: {' '.join(file.handler)}" if file.handler else ""
        output.line(f"  {file.name}{'' if file.unencrypted else ' (encrypted)'}{handler}")
        if file.unencrypted:
            for line in file.value.splitlines():
                output.line(f"    | {line}")
    output.line()


def _say(stored: ConfigObject, text: str, *, as_json: bool) -> None:
    output = Output(as_json=as_json)
    output.line(text)
    if as_json:
        output.document(stored)
