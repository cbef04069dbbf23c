"""`devices list --export`: every device there is, page by page in the order of their names, in steady memory.

Each page begins after the last name of the one before. So a device that is there from beginning to end, under one name,
is written exactly once; one that comes, goes or is renamed meanwhile may be missing, or be there under both names.
"""

import csv
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from ownroot.cli.options import Target
from ownroot.cli.progress import progress_bar
from ownroot.client.api import Api
from ownroot.client.device_query import DeviceQuery
from ownroot.errors import InvalidInputError
from ownroot.wire.devices import DeviceObject

PAGE_DEVICES: Final = 1000
_COLUMNS: Final = (
    "uuid",
    "name",
    "factory",
    "owner",
    "device-group",
    "is-prod",
    "last-seen",
    "tag",
    "target-name",
    "ostree-hash",
    "ca-serial",
    "certificate-ends",
    "suspicion",
    "quarantined-at",
    "public-key",
)
# A spreadsheet runs what begins with one of these, and these texts are the devices' own.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_SAID_BY_DEVICES: Final = frozenset({"tag", "target-name", "ostree-hash"})

Write = Callable[[DeviceObject], None]


def export_devices(target: Target, query: DeviceQuery, *, form: str, path: Path | None) -> None:
    """Write what the query selects as CSV or JSON lines.

    Args:
        path: is replaced once everything is written; None = standard output.
    Raises:
        InvalidInputError: `export-unwritable`; `export-unordered`: the server does not go on after a name.
    """
    with Api(target.access(needs_factory=False)) as api, _opened(path) as file, progress_bar(as_json=False) as progress:
        write, done, total = _writer(form, file), 0, 0
        for devices, left in pages(api, query):
            total = total or left
            for device in devices:
                write(device)
            done += len(devices)
            progress("devices", min(done, total), total)


def pages(api: Api, query: DeviceQuery) -> Iterator[tuple[tuple[DeviceObject, ...], int]]:
    """Yield the devices of each page, and how many were left when it was read, its own included."""
    query, last = replace(query, sortby="name", limit=PAGE_DEVICES, page=1), ""
    while True:
        page = api.devices(query)
        for device in page.devices:
            if not device.name or device.name.encode() <= last.encode():
                raise InvalidInputError(
                    "export-unordered",
                    "The server sent a device a second time, or one without a name: it does not know how to go on "
                    "after a name. Ask an Ownroot server of this version or later.",
                )
            last = device.name
        yield page.devices, page.total
        if page.next is None or not page.devices:
            return
        query = replace(query, after=last)


def _writer(form: str, file: TextIO) -> Write:
    if form == "jsonl":
        return lambda device: print(msgspec.json.encode(device).decode(), file=file)
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(_COLUMNS)
    return lambda device: rows.writerow(_row(device))


def _row(device: DeviceObject) -> list[str]:
    """Return the columns of a device; of a suspicion its sign, for the evidence is for `devices why` to tell."""
    members: dict[str, Any] = msgspec.to_builtins(device)
    suspicion = members["suspicion"] or {}
    members |= {"suspicion": suspicion.get("sign"), "quarantined-at": suspicion.get("quarantined-at")}
    values = {name: _text(members[name]) for name in _COLUMNS}
    return [
        f"'{value}" if name in _SAID_BY_DEVICES and value.startswith(_FORMULA) else value
        for name, value in values.items()
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Open a file beside the one that is meant, and put it in its place when all went well."""
    if path is None:
        yield sys.stdout
        return
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as exc:
        raise InvalidInputError("export-unwritable", f"{path} cannot be written: {exc.strerror or exc}.") from exc
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
