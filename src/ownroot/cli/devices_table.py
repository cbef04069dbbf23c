"""Devices as a table that fits: columns give way to the width, identifiers are never broken over lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ownroot.console.text import one_line
from ownroot.wire.devices import DeviceObject

if TYPE_CHECKING:
    from rich.table import Table

_NOTHING = "-"
_GAP = 2
_STYLES = {"online": "green", "offline": "red", "never seen": "dim", "quarantined": "bold red"}


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and what stands below it. `rank`: the lower, the sooner it gets room."""

    heading: str
    rank: int
    text: Callable[[DeviceObject], str | None]


def columns(
    *,
    standing: Callable[[DeviceObject], str],
    last_seen: Callable[[DeviceObject], str],
    owners: Mapping[str, str],
    with_factory: bool,
) -> tuple[Column, ...]:
    """Return every column there is, in the order in which they are shown.

    Args:
        owners: names of users by polis-id; an owner without one is shown by the id.
        with_factory: devices of more than one factory are listed.
    """
    factory = (Column("FACTORY", 1, lambda device: device.factory),) if with_factory else ()
    return (
        Column("NAME", 0, lambda device: device.name),
        Column("UUID", 4, lambda device: device.uuid),
        Column("STATUS", 2, standing),
        *factory,
        Column("LAST SEEN", 3, last_seen),
        Column("GROUP", 5, lambda device: device.device_group),
        Column("OWNER", 6, lambda device: owners.get(device.owner or "", device.owner)),
        Column("PROD", 7, lambda device: "yes" if device.is_prod else "no"),
        Column("TAG", 9, lambda device: device.tag),
        Column("TARGET", 8, lambda device: device.target_name),
        Column("CA", 10, lambda device: device.ca_serial),
    )


def fitting(every: Sequence[Column], devices: Sequence[DeviceObject], width: int) -> tuple[Column, ...]:
    """Return the columns that fit beside one another, by rank; the first one stays in any case.

    One that is too wide takes no room from narrow ones behind it: a uuid that does not fit leaves place for the tag.
    """
    kept, room = {every[0]}, width - _width(every[0], devices)
    for column in sorted(every[1:], key=lambda column: column.rank):
        needed = _GAP + _width(column, devices)
        if needed <= room:
            kept.add(column)
            room -= needed
    return tuple(column for column in every if column in kept)


def table(kept: Sequence[Column], devices: Sequence[DeviceObject]) -> "Table":
    """Lay the devices out."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in kept:
        drawn.add_column(column.heading, no_wrap=True, overflow="ignore")
    for device in devices:
        cells = [_cell(column, device) for column in kept]
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    return drawn


def _cell(column: Column, device: DeviceObject) -> str:
    text = column.text(device)
    return one_line(text) if text else _NOTHING


def _width(column: Column, devices: Sequence[DeviceObject]) -> int:
    from rich.cells import cell_len

    return max(len(column.heading), *(cell_len(_cell(column, device)) for device in devices))
