"""Pages of devices, at the same cost with ten devices and a million, wherever the page lies.

A listing is a sequence of *runs*: cohorts whose devices stand together in it, in one order. How long each run is we
know without counting (`device_cohorts`), so a page is looked for in the runs it touches and nowhere else:

* by name, from where the stretch begins that holds the page's first device;
* by last check-in, from the nearer end of the run, which walks an index and reads no device.

What a pattern such as `*foo*` matches nothing has counted. Where it is little, one look at every name finds it all.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import sqlalchemy as sa

from ownroot.fleet.clones import CloneSign
from ownroot.pki.names import DeviceUuid
from ownroot.pki.serials import parse_serial
from ownroot.services.records import Device, DeviceFilter, DeviceSort, GroupRef, Suspicion
from ownroot.storage.device_cohorts import Cohort, NameCounts, in_cohorts, is_one_of, matching_cohorts
from ownroot.storage.device_pages import Order, Pages, Run
from ownroot.storage.name_ranges import NameRange, name_range
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
    devices.c.released_at,
)


# So many matches of a pattern are sorted here rather than looked for once to count and once to find.
FEW: Final = 2_000


def list_devices(  # noqa: PLR0913  (a listing's parameters)
    session: Session, factory_id: int, where: DeviceFilter, *, sort: Sequence[DeviceSort], limit: int, skip: int
) -> tuple[list[Device], int]:
    """Read one page.

    Returns: the devices, and the number of matches on all pages.
    """
    names = name_range(where.name_pattern, after=where.after)
    cohorts = matching_cohorts(session, factory_id, where)
    if where.uuid is not None:
        ids = _id_of(session, factory_id, where.uuid, cohorts, names)
        return _read_devices(session, ids[skip : skip + limit]), len(ids)
    few = None if names.pattern is None else _few_ids(session, cohorts, names, read_order(sort))
    if few is not None:
        return _read_devices(session, few[skip : skip + limit]), len(few)
    meant = NameCounts(session, factory_id, names).narrow(cohorts)
    pages = Pages(session, factory_id, names, read_order(sort))
    ids = pages.ids(_runs(meant, pages.order, of_whole_factory=where.is_by_name_alone), skip, limit)
    return _read_devices(session, ids), sum(cohort.devices for cohort in meant)


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
        released_at=None if row[28] is None else from_seconds(row[28]),
    )


def _read_suspicion(row: Row) -> Suspicion:
    quarantined_at = None if row[27] is None else from_seconds(row[27])
    return Suspicion(CloneSign(row[25]), row[26], from_seconds(row[24]), quarantined_at)


def read_order(sort: Sequence[DeviceSort]) -> Order:
    """Read sort keys, down to the first that no two devices share. Of the last check-in alone, ties go its way."""
    seen_first: bool | None = None
    for key in sort or (DeviceSort.OWNER_NAME,):
        match key:
            case DeviceSort.NAME | DeviceSort.NAME_DESC:
                return Order(seen_first=seen_first, names_down=key is DeviceSort.NAME_DESC)
            case DeviceSort.OWNER_NAME if seen_first is None:
                return Order(by_owner=True)
            case DeviceSort.LAST_SEEN | DeviceSort.LAST_SEEN_DESC if seen_first is None:
                seen_first = key is DeviceSort.LAST_SEEN
    return Order(seen_first=seen_first, names_down=sort[-1] is DeviceSort.LAST_SEEN_DESC)


def _runs(cohorts: Sequence[Cohort], order: Order, *, of_whole_factory: bool) -> Iterator[Run]:
    if order.by_owner:
        owner = attrgetter("owner")
        runs = [tuple(same) for _, same in groupby(sorted(cohorts, key=owner), key=owner)]
    elif order.seen_first is not None:
        parts = [tuple(c for c in cohorts if c.seen is seen) for seen in (False, True)]
        runs = parts if order.seen_first else parts[::-1]
    else:
        runs = [tuple(cohorts)]
    for run in runs:
        if run:
            has_all = len(run) == len(cohorts) or (order.seen_first is not None and run[0].seen)
            yield Run(run, is_whole=of_whole_factory and has_all)


def _id_of(session: Session, factory_id: int, uuid: str, cohorts: Sequence[Cohort], names: NameRange) -> list[int]:
    if not cohorts:
        return []
    found = session.query(
        sa.select(devices.c.id).where(
            devices.c.factory_id == factory_id,
            devices.c.uuid_folded == uuid.lower(),
            devices.c.uuid == uuid,
            in_cohorts(devices.c.cohort + 0, cohorts),
            *names.conditions(session),
        )
    )
    return [row[0] for row in found]


def _few_ids(session: Session, cohorts: Sequence[Cohort], names: NameRange, order: Order) -> list[int] | None:
    """Return all that match, in order; None if they are too many."""
    if not cohorts:
        return []
    # The columns of one index: no device is read to look at its name.
    columns = (devices.c.id, devices.c.cohort, devices.c.name)
    whose = in_cohorts(devices.c.cohort, cohorts)
    found = session.query(sa.select(*columns).where(whose, *names.conditions(session)).limit(FEW + 1))
    if len(found) > FEW:
        return None
    found = sorted(found, key=lambda row: row[2], reverse=order.names_down)
    if order.by_owner:
        owners = {cohort.id: cohort.owner for cohort in cohorts}
        found.sort(key=lambda row: owners[row[1]])
    ids = [row[0] for row in found]
    if ids and order.seen_first is not None:
        rows = session.query(sa.select(devices.c.id, devices.c.last_seen).where(is_one_of(devices.c.id, ids)))
        seen = {row[0]: row[1] for row in rows}
        ids.sort(key=lambda id_: seen[id_], reverse=not order.seen_first)
    return ids


def _read_devices(session: Session, ids: Sequence[int]) -> list[Device]:
    if not ids:
        return []
    rows = session.query(sa.select(devices.c.id, *DEVICE_COLUMNS).where(is_one_of(devices.c.id, ids)))
    found = {row[0]: read_device(row[1:]) for row in rows}
    return [found[id_] for id_ in ids]
