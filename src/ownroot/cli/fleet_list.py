"""A list of devices that move here: CSV with a header line, a JSON array, a page of the API, or JSON lines. Pure.

Members are known under the names of several programs, so that what a fleet exports elsewhere need not be rewritten. A
PEM may stand in a quoted CSV field with its line ends, or with `\\n` in their place.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import parse_certificate, parse_ec_public_key
from ownroot.pki.names import parse_device_uuid, parse_resource_name
from ownroot.wire.fleet_import import ImportForm

_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "uuid": ("uuid",),
    "certificate": ("certificate", "client.pem"),
    "public-key": ("public-key", "pubkey"),
    "name": ("name",),
    "group": ("group", "device-group"),
    "production": ("production", "is-prod"),
}
_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SHOWN_FAULTS: Final = 10


def parse_fleet_list(text: str) -> tuple[ImportForm, ...]:
    """Read a list; every device of it is looked at before anything is done with one.

    Raises:
        InvalidInputError: `fleet-list-unreadable` (neither CSV nor JSON), `fleet-list-empty`, `fleet-list` with the
            first faults by line or number of the device.
    """
    devices: list[ImportForm] = []
    faults: list[str] = []
    places: dict[str, str] = {}
    for place, members in _rows(text):
        try:
            device = _device(members)
        except InvalidInputError as exc:
            faults.append(f"{place}: {exc.detail}")
            continue
        folded = device.uuid.lower()
        if folded in places:
            faults.append(f"{place}: uuid {device.uuid} stands at {places[folded]} already.")
        places[folded] = place
        devices.append(device)
    if faults:
        more = f" And {len(faults) - _SHOWN_FAULTS} more." if len(faults) > _SHOWN_FAULTS else ""
        raise InvalidInputError("fleet-list", " ".join(faults[:_SHOWN_FAULTS]) + more + " Nothing was sent.")
    if not devices:
        raise InvalidInputError("fleet-list-empty", "There is no device in the list.")
    return tuple(devices)


def _rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield where a device stands, and its members."""
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if start == "[" or (start == "{" and _is_page(text)):
        yield from ((f"device {number}", entry) for number, entry in enumerate(_json_array(text), 1))
    elif start == "{":
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        yield from ((f"line {number}", _json_object(line, number)) for number, line in lines)
    else:
        yield from _csv_rows(text)


def _is_page(text: str) -> bool:
    """Is it one document with the member `devices`, as the API and `devices list --json` write it?"""
    try:
        return isinstance(json.loads(text).get("devices"), list)
    except (ValueError, RecursionError):
        return False


def _json_array(text: str) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError("fleet-list-unreadable", f"The list is no valid JSON: {exc}.") from exc
    entries = document["devices"] if isinstance(document, dict) else document
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise InvalidInputError("fleet-list-unreadable", f"Device {number} of the list is no JSON object.")
    return list(entries)


def _json_object(line: str, number: int) -> Mapping[str, Any]:
    try:
        entry: Mapping[str, Any] = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise InvalidInputError("fleet-list-unreadable", f"Line {number} is no valid JSON: {exc}.") from exc
    return entry


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""), strict=True)
    try:
        header = reader.fieldnames or ()
        if "uuid" not in header:
            raise InvalidInputError(
                "fleet-list-unreadable",
                "The list is neither JSON nor CSV whose first line names the columns, `uuid` among them.",
            )
        for row in reader:
            if None in row:
                raise InvalidInputError(
                    "fleet-list-unreadable", f"The row that ends in line {reader.line_num} has too many fields."
                )
            members = {name: value.replace("\\n", "\n") for name, value in row.items() if value}
            if members:
                yield f"line {reader.line_num}", members
    except csv.Error as exc:
        raise InvalidInputError("fleet-list-unreadable", f"Line {reader.line_num} is no valid CSV: {exc}.") from exc


def _device(members: Mapping[str, Any]) -> ImportForm:
    found = {name: _find(members, aliases) for name, aliases in _NAMES.items()}
    texts = {name: _text(name, found[name]) for name in _NAMES if name != "production"}
    uuid, certificate, public_key = texts["uuid"], texts["certificate"], texts["public-key"]
    if uuid is None:
        raise InvalidInputError("fleet-list", "It has no uuid.")
    parse_device_uuid(uuid)
    if certificate is not None:
        parse_certificate(certificate)
    elif public_key is not None:
        parse_ec_public_key(public_key)
    else:
        raise InvalidInputError("fleet-list", f"Device {uuid} has neither a certificate nor a public key.")
    for name in (texts["name"], texts["group"]):
        if name is not None:
            parse_resource_name(name)
    return ImportForm(
        uuid=uuid,
        certificate=certificate,
        public_key=None if certificate is not None else public_key,
        name=texts["name"],
        group=texts["group"],
        production=_boolean(found["production"]),
    )


def _find(members: Mapping[str, Any], aliases: Sequence[str]) -> Any:
    values = [members[alias] for alias in aliases if members.get(alias) not in (None, "")]
    return values[0] if values else None


def _text(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    # A single device, as the API shows it, has its group as an object.
    if name == "group" and isinstance(value, dict) and isinstance(value.get("name"), str):
        return str(value["name"])
    raise InvalidInputError("fleet-list", f"Its {name} is no text.")


def _boolean(value: Any) -> bool:
    known = value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower()) if value is not None else False
    if known is None:
        raise InvalidInputError("fleet-list", "Its production mark is neither true nor false.")
    return known
