"""Pages of devices: every order has an index, so the first page costs the same with ten devices and a million."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ownroot.fleet.clones import CloneSign
from ownroot.pki.names import DeviceUuid
from ownroot.pki.serials import parse_serial, serial_text
from ownroot.services.records import Device, DeviceFilter, DeviceSort, GroupRef, Suspicion
from ownroot.storage.schema import device_groups, devices
from ownroot.storage.session import Session
from ownroot.storage.statements import Row
from ownroot.storage.times import from_seconds

DEVICE_COLUMNS: Final = (
    devices.c.factory_id,
    devices.c.uuid,
    devices.c.name,
    devices.c.owner,
    devices.c.spki_der,
    devices.c.spki_sha256,
    devices.c.production,
    devices.c.issuer_sha256,
    devices.c.issuer_serial,
    devices.c.created_at,
    devices.c.next_spki_sha256,
    devices.c.group_id,
    sa.select(device_groups.c.name).where(device_groups.c.id == devices.c.group_id).scalar_subquery(),
    devices.c.last_seen,
    devices.c.tags,
    devices.c.target_name,
    devices.c.ostree_hash,
    devices.c.docker_apps,
    devices.c.config_time,
    devices.c.fetch_config_anew,
    devices.c.next_key_at,
    devices.c.not_after,
    devices.c.network4,
    devices.c.network6,
    devices.c.suspected_at,
    devices.c.suspicion,
    devices.c.suspicion_detail,
    devices.c.quarantined_at,
)


def list_devices(  # noqa: PLR0913  (a listing's parameters)
    session: Session, factory_id: int, where: DeviceFilter, *, sort: Sequence[DeviceSort], limit: int, skip: int
) -> tuple[list[Device], int | None]:
    """Read one page.

    Returns: the devices, and the number of matches; None = every device of the factory matches.
    """
    conditions = list(_conditions(session, where))
    in_factory = devices.c.factory_id == factory_id
    rows = session.query(
        sa.select(*DEVICE_COLUMNS).where(in_factory, *conditions).order_by(*_order(sort)).limit(limit).offset(skip)
    )
    found = [read_device(row) for row in rows]
    if not conditions:
        return found, None
    ((total,),) = session.query(sa.select(sa.func.count()).select_from(devices).where(in_factory, *conditions))
    return found, total


def read_device(row: Row) -> Device:
    """Turn the values of `DEVICE_COLUMNS` into a device."""
    return Device(
        factory_id=row[0],
        uuid=DeviceUuid(row[1]),
        name=row[2],
        owner=row[3],
        spki_der=bytes(row[4]),
        spki_sha256=bytes(row[5]),
        production=bool(row[6]),
        issuer_sha256=bytes(row[7]),
        issuer_serial=parse_serial(row[8]),
        created_at=from_seconds(row[9]),
        next_spki_sha256=None if row[10] is None else bytes(row[10]),
        group=None if row[11] is None else GroupRef(row[11], row[12]),
        last_seen=from_seconds(row[13]) if row[13] else None,
        tags=row[14],
        target_name=row[15],
        ostree_hash=row[16],
        docker_apps=row[17],
        config_time=row[18],
        fetch_config_anew=bool(row[19]),
        next_key_at=None if row[20] is None else from_seconds(row[20]),
        not_after=None if row[21] is None else from_seconds(row[21]),
        networks=(row[22], row[23]),
        suspicion=None if row[24] is None else _read_suspicion(row),
    )


def _read_suspicion(row: Row) -> Suspicion:
    quarantined_at = None if row[27] is None else from_seconds(row[27])
    return Suspicion(CloneSign(row[25]), row[26], from_seconds(row[24]), quarantined_at)


def _conditions(session: Session, where: DeviceFilter) -> Iterator[sa.ColumnElement[bool]]:
    if where.name_pattern is not None:
        yield _matches(session, devices.c.name, where.name_pattern)
    if where.uuid is not None:
        yield devices.c.uuid_folded == where.uuid.lower()
        yield devices.c.uuid == where.uuid
    if where.group is not None:
        named = sa.select(device_groups.c.id).where(
            device_groups.c.factory_id == devices.c.factory_id, device_groups.c.name == where.group
        )
        yield devices.c.group_id == named.scalar_subquery()
    if where.owner is not None:
        yield devices.c.owner == where.owner
    if where.target_name is not None:
        yield devices.c.target_name == where.target_name
    if where.production is not None:
        yield devices.c.production == where.production
    if where.issuer_serial is not None:
        yield devices.c.issuer_serial == serial_text(where.issuer_serial)
    if where.after is not None:
        yield devices.c.name > where.after
    if where.rotating:
        yield devices.c.next_spki_sha256.is_not(None)
    if where.suspected:
        yield devices.c.suspected_at.is_not(None)
    if where.tag is not None:
        # One of a comma list: both databases know replace(), and a list without the tag comes out unchanged.
        listed = sa.literal(",").concat(devices.c.tags).concat(",")
        yield sa.func.replace(listed, f",{where.tag},", "") != listed


def _matches(session: Session, column: sa.Column[str], pattern: str) -> sa.ColumnElement[bool]:
    """A shell-style pattern with `*` and `?`, which minds letter case."""
    if session.dialect_name == "sqlite":
        return column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]"))
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")


def _order(sort: Sequence[DeviceSort]) -> Iterator[Any]:
    """Columns to sort by, down to the first that no two devices share, as the indexes have them."""
    for key in sort or (DeviceSort.OWNER_NAME,):
        match key:
            case DeviceSort.NAME:
                yield devices.c.name
                return
            case DeviceSort.NAME_DESC:
                yield devices.c.name.desc()
                return
            case DeviceSort.OWNER_NAME:
                yield from (devices.c.owner, devices.c.name)
                return
            case DeviceSort.LAST_SEEN:
                yield devices.c.last_seen
            case DeviceSort.LAST_SEEN_DESC:
                yield devices.c.last_seen.desc()
    yield devices.c.name.desc() if sort[-1] is DeviceSort.LAST_SEEN_DESC else devices.c.name
