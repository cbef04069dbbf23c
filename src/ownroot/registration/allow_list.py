"""The list of devices a site may register, as a production system writes it: CSV or JSON.

Each entry names a uuid, a hardware id, or both; it may give the device a name and a group. An entry with a uuid is for
that board alone, one without is for every board of that hardware id. A list with one bad entry is not used at all: a
column that was misspelt must not open the door to everybody.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.names import parse_device_uuid, parse_resource_name
from ownroot.registration.applicant import Applicant
from ownroot.wire.sota_toml import parse_hardware_id

MAX_LIST_BYTES = 64 * 1024 * 1024
_MEMBERS = ("uuid", "hardware-id", "name", "group")
_JSON_STARTS = ("[", "{")


class AllowedDevice(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """One entry; what is None, it does not say."""

    uuid: str | None = None
    hardware_id: str | None = None
    name: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class AllowList:
    """Who may be registered, found by uuid first and by hardware id then."""

    by_uuid: Mapping[str, AllowedDevice] = field(default_factory=dict)
    by_hardware_id: Mapping[str, AllowedDevice] = field(default_factory=dict)

    def demand(self, applicant: Applicant) -> AllowedDevice:
        """Return the entry that lets this device in.

        Raises:
            RefusedError: `not-on-allow-list`, `hardware-id-not-allowed`: listed under another hardware id;
                `name-not-allowed`: listed under another name.
        """
        entry = self.by_uuid.get(applicant.uuid) or self.by_hardware_id.get(applicant.hardware_id)
        if entry is None:
            raise RefusedError(
                "not-on-allow-list",
                f"Device {applicant.uuid} (hardware id {applicant.hardware_id}) is not on this site's list of devices "
                "to register.",
                fields={"uuid": "not on the list"},
            )
        if entry.hardware_id not in (None, applicant.hardware_id):
            raise RefusedError(
                "hardware-id-not-allowed",
                f"Device {applicant.uuid} is on the list with hardware id {entry.hardware_id}, not "
                f"{applicant.hardware_id}.",
                fields={"hardware-id": "not the one on the list"},
            )
        if entry.name is not None and applicant.name not in (entry.name, applicant.uuid):
            raise RefusedError(
                "name-not-allowed",
                f"Device {applicant.uuid} is on the list under the name {entry.name}.",
                fields={"name": "not the one on the list"},
            )
        return entry

    def __len__(self) -> int:
        return len(self.by_uuid) + len(self.by_hardware_id)


def parse_allow_list(text: str) -> AllowList:
    """Read a list: a JSON array of objects, or CSV whose first line names the columns.

    Members and columns: `uuid`, `hardware-id`, `name`, `group`; at least one of the first two in each entry.

    Raises:
        InvalidInputError: `allow-list-invalid`; the detail names the entry.
    """
    bare = text.removeprefix("\ufeff").lstrip()  # spreadsheets write a byte order mark
    return _collect(_read_json(bare) if bare.startswith(_JSON_STARTS) else _read_csv(bare))


def _read_json(text: str) -> list[AllowedDevice]:
    try:
        return msgspec.json.decode(text, type=list[AllowedDevice])
    except msgspec.MsgspecError as exc:
        raise _invalid(f"{exc}") from exc


def _read_csv(text: str) -> Iterable[AllowedDevice]:
    rows = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [column.strip() for column in next(rows, [])]
        columns = [column.lower() for column in header]
        if unknown := [column for column in header if column.lower() not in _MEMBERS]:
            hint = ". Columns are parted by commas" if any(";" in column for column in unknown) else ""
            named = f"out of {', '.join(_MEMBERS)}; it has {unknown[:4]}"
            raise _invalid(f"the first line must name the columns, {named}{hint}")
        if len(set(columns)) != len(columns) or not columns:
            raise _invalid("the first line must name each column once")
        for row in rows:
            if any(cell.strip() for cell in row):
                yield _entry(columns, row, rows.line_num)
    except csv.Error as exc:
        raise _invalid(f"line {rows.line_num}: {exc}") from exc


def _entry(columns: list[str], row: list[str], line: int) -> AllowedDevice:
    if len(row) != len(columns):
        raise _invalid(f"line {line} has {len(row)} columns and not {len(columns)}")
    cells = {column: cell.strip() or None for column, cell in zip(columns, row, strict=True)}
    return AllowedDevice(**{column.replace("-", "_"): cell for column, cell in cells.items()})


def _collect(entries: Iterable[AllowedDevice]) -> AllowList:
    by_uuid: dict[str, AllowedDevice] = {}
    by_hardware_id: dict[str, AllowedDevice] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            key, table = _checked(entry, by_uuid, by_hardware_id)
        except InvalidInputError as exc:
            raise _invalid(f"entry {number}: {exc.detail}") from exc
        if key in table:
            raise _invalid(f"entry {number}: {key} is listed twice")
        table[key] = entry
    if not by_uuid and not by_hardware_id:
        raise _invalid("there is no entry in it. Without a list at all, leave --allow-list out")
    return AllowList(by_uuid, by_hardware_id)


def _checked(
    entry: AllowedDevice, by_uuid: dict[str, AllowedDevice], by_hardware_id: dict[str, AllowedDevice]
) -> tuple[str, dict[str, AllowedDevice]]:
    if entry.hardware_id is not None:
        parse_hardware_id(entry.hardware_id)
    for text in (entry.name, entry.group):
        if text is not None:
            parse_resource_name(text)
    if entry.uuid is not None:
        return parse_device_uuid(entry.uuid), by_uuid
    if entry.hardware_id is None or entry.name is not None:
        raise InvalidInputError("entry", "it has neither uuid nor hardware-id, or a name without a uuid.")
    return entry.hardware_id, by_hardware_id


def _invalid(why: str) -> InvalidInputError:
    return InvalidInputError("allow-list-invalid", f"The list of allowed devices cannot be used: {why}.")
