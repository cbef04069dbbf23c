"""When device certificates end, counted by the database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from ownroot.fleet.forecast import current_absence, last_safe_day, longest_absence
from ownroot.services.forecast_ports import CertificateEnds, EndingDevices, EndsQuestion
from ownroot.services.ports import Database
from ownroot.services.records import Device, Factory
from tests.support.stored_values import NOW, a_device, a_visit, make_factory, sha256

CA = 2**160 - 1
DAY = timedelta(days=1)
MONDAY = date(2026, 11, 23)  # NOW is at noon of it
SOON = NOW + 20 * DAY
WEEK_OF_SOON = date(2026, 12, 7)


def store(database: Database, *devices: Device) -> None:
    def work(uow: Any) -> None:
        for device in devices:
            uow.devices.add(device)

    database.write(work).result()


def visit(database: Database, factory: Factory, *at: datetime, not_after: datetime | None = SOON) -> None:
    for moment in at:
        one = a_visit(factory, seen_at=moment, not_after=not_after)
        database.write(lambda uow, one=one: uow.devices.record_check_ins([one])).result()


def ends(database: Database, factory: Factory, **changes: Any) -> CertificateEnds:
    question = EndsQuestion(factory.id, CA, NOW + 4000 * DAY, NOW, weeks=26)
    return database.read(lambda uow: uow.ends.by_week(replace(question, **changes)))


def weeks(found: CertificateEnds) -> Sequence[tuple[date, int]]:
    return [(monday, ending.devices) for monday, ending in found.weeks]


def test_devices_are_counted_in_the_week_their_certificate_ends_in(database: Database, factory: Factory) -> None:
    last_second = datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC)
    store(
        database,
        a_device(factory, "now", not_after=NOW),
        a_device(factory, "sunday", not_after=last_second),
        a_device(factory, "monday", not_after=last_second + timedelta(seconds=1)),
    )
    found = ends(database, factory)
    assert weeks(found) == [(MONDAY, 2), (MONDAY + 7 * DAY, 1)]
    assert found.expired == 0


def test_ends_behind_and_ends_beyond_the_last_week_are_counted_apart(database: Database, factory: Factory) -> None:
    horizon = datetime(2026, 12, 7, tzinfo=UTC)
    store(
        database,
        a_device(factory, "over", not_after=NOW - timedelta(seconds=1)),
        a_device(factory, "in", not_after=horizon - timedelta(seconds=1)),
        a_device(factory, "out", not_after=horizon),
        a_device(factory, "unknown"),
    )
    found = ends(database, factory, weeks=2)
    assert (found.expired, weeks(found), found.later.devices, found.unknown) == (1, [(MONDAY + 7 * DAY, 1)], 1, 1)


def test_a_certificate_ends_with_its_ca_at_the_latest(database: Database, factory: Factory) -> None:
    store(database, a_device(factory, "long", not_after=NOW + 60 * DAY), a_device(factory, "short", not_after=SOON))
    found = ends(database, factory, issuer_ends_at=SOON)
    assert weeks(found) == [(WEEK_OF_SOON, 2)]
    assert found.beyond_issuer == 1
    assert ends(database, factory, issuer_ends_at=NOW + 60 * DAY).beyond_issuer == 0


def test_devices_of_another_ca_and_another_factory_do_not_count(database: Database, factory: Factory) -> None:
    other = make_factory(database, "other")
    store(
        database,
        a_device(factory, "other-ca", not_after=SOON, issuer_serial=7),
        a_device(other, "other-factory", not_after=SOON),
    )
    assert ends(database, factory) == CertificateEnds(0, 0, 0, [], EndingDevices(), MONDAY + 26 * 7 * DAY)


def test_devices_never_and_rarely_seen_do_not_decide_on_the_last_safe_day(database: Database, factory: Factory) -> None:
    store(
        database,
        a_device(factory, "never", not_after=SOON),
        a_device(factory, "rare", not_after=SOON, last_seen=NOW - 30 * DAY),
        a_device(factory, "overdue", not_after=SOON, last_seen=NOW - 7 * DAY),
        a_device(factory, "daily", not_after=SOON, last_seen=NOW),
    )
    ((monday, ending),) = ends(database, factory).weeks
    assert monday == WEEK_OF_SOON
    # 7 days away: 21 days before the end, which is yesterday.
    assert ending == EndingDevices(4, never_seen=1, rarely_seen=1, overdue=1, last_safe_day=MONDAY - DAY)


def test_a_device_away_one_day_less_is_neither_overdue_nor_rare(database: Database, factory: Factory) -> None:
    store(
        database,
        a_device(factory, "still-regular", not_after=NOW + 400 * DAY, last_seen=NOW - 29 * DAY),
        a_device(factory, "still-in-time", not_after=SOON, last_seen=NOW - 6 * DAY),
    )
    found = ends(database, factory)
    assert [ending for _, ending in found.weeks] == [EndingDevices(1, last_safe_day=MONDAY + 2 * DAY)]
    assert found.later == EndingDevices(1, last_safe_day=(NOW + (400 - 87) * DAY).date())


@pytest.mark.parametrize("offsets", [(0,), (0, 1), (0, 9, 10, 11), (0, 40, 41, 60), (0, 0, 3), (0, 25, 26, 50)])
def test_the_database_reckons_absences_as_the_rule_does(
    database: Database, factory: Factory, offsets: tuple[int, ...]
) -> None:
    store(database, a_device(factory))
    start = NOW - (offsets[-1] + 2) * DAY
    visits = [start + offset * DAY for offset in offsets]
    visit(database, factory, *visits, not_after=NOW + 100 * DAY)

    absence = 0
    for before, after in pairwise(visits):
        absence = longest_absence(absence, last_seen=before.date(), seen=after.date())
    away = current_absence(absence, last_seen=visits[-1].date(), today=NOW.date())
    expected = None if away >= 30 * DAY else last_safe_day((NOW + 100 * DAY).date(), away)
    ((_, ending),) = ends(database, factory).weeks
    assert ending.last_safe_day == expected
    assert ending.rarely_seen == (expected is None)


def test_a_visit_tells_the_end_of_the_certificate_it_came_with(database: Database, factory: Factory) -> None:
    store(database, a_device(factory))
    assert ends(database, factory).unknown == 1
    visit(database, factory, NOW)
    assert weeks(ends(database, factory)) == [(WEEK_OF_SOON, 1)]
    visit(database, factory, NOW, not_after=SOON + 7 * DAY)
    assert weeks(ends(database, factory)) == [(WEEK_OF_SOON + 7 * DAY, 1)]


def test_a_visit_that_tells_no_end_or_is_an_old_one_leaves_it_as_it_is(database: Database, factory: Factory) -> None:
    store(database, a_device(factory, not_after=SOON, last_seen=NOW))
    visit(database, factory, NOW, not_after=None)
    visit(database, factory, NOW - DAY, not_after=SOON + 7 * DAY)
    assert weeks(ends(database, factory)) == [(WEEK_OF_SOON, 1)]


@pytest.mark.parametrize(("key", "stored"), [("dev-1", SOON + DAY), ("next", SOON)])
def test_an_issued_certificate_counts_if_it_is_for_the_pinned_key(
    database: Database, factory: Factory, key: str, stored: datetime
) -> None:
    store(database, a_device(factory, not_after=SOON))
    database.write(lambda uow: uow.ends.note_issued(factory.id, "dev-1", sha256(key), not_after=SOON + DAY)).result()
    device = database.read(lambda uow: uow.devices.find(factory.id, "dev-1"))
    assert device is not None
    assert device.not_after == stored


def test_a_replaced_key_brings_the_end_of_its_certificate(database: Database, factory: Factory) -> None:
    device = a_device(factory, not_after=SOON)
    store(database, device)
    changed = replace(device, spki_sha256=sha256("new"), not_after=SOON + 7 * DAY)
    database.write(lambda uow: uow.devices.replace_key(changed)).result()
    assert weeks(ends(database, factory)) == [(WEEK_OF_SOON + 7 * DAY, 1)]
