"""The two transactions of a registration, and what becomes of one that stops between them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from ownroot.errors import ConflictError, RefusedError
from ownroot.registration.counts import count_noted, issued_counts
from ownroot.registration.decisions import COLUMNS, Decision, about, note, read_entries
from ownroot.registration.policy import Quota, Reregistration, SitePolicy
from ownroot.registration.reservations import (
    Issued,
    Reason,
    find_issued,
    release,
    take_back_what_a_crash_left,
)
from tests.support.certificates import NOW
from tests.support.device_csrs import new_key
from tests.support.registration_desk import SiteDesk, applicant, site_desk

REPLACE = SitePolicy(reregistration=Reregistration.REPLACE)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SiteDesk]:
    with site_desk(tmp_path) as made:
        yield made


def counts(desk: SiteDesk) -> tuple[int, int]:
    return desk.journal.read(partial(issued_counts, now=NOW))


def decisions(desk: SiteDesk) -> list[str]:
    return [str(row[COLUMNS.index("decision")]) for row in desk.journal.read(read_entries)]


def code_of(desk: SiteDesk, claim: object, policy: SitePolicy | None = None) -> str:
    with pytest.raises((ConflictError, RefusedError)) as caught:
        desk.reserve(claim, policy)  # type: ignore[arg-type]
    return caught.value.code


def test_same_key_finds_its_certificate_and_another_key_does_not(desk: SiteDesk) -> None:
    key = new_key()
    claim = desk.claim(applicant(key=key))
    issued = desk.complete(claim, desk.reserve(claim))
    again = desk.reserve(desk.claim(applicant(key=key)))
    assert isinstance(again, Issued)
    assert again.certificate == issued.certificate
    assert code_of(desk, desk.claim(applicant())) == "device-uuid-taken"
    assert (counts(desk), decisions(desk)) == ((1, 1), ["registered", "repeated"])


def test_expired_certificate_is_renewed_for_the_same_key(desk: SiteDesk) -> None:
    key = new_key()
    claim = desk.claim(applicant(key=key))
    first = desk.complete(claim, desk.reserve(claim))
    late = desk.claim(replace(applicant(key=key), at=first.certificate.not_valid_after_utc - timedelta(days=1)))
    assert isinstance(desk.reserve(late), Issued)
    after = replace(claim.applicant, at=first.certificate.not_valid_after_utc + timedelta(seconds=1))
    assert desk.journal.read(partial(find_issued, applicant=after, issuer_sha256=desk.site.issuer_sha256)) is None


def test_certificate_of_an_earlier_ca_is_renewed_by_the_present_one(desk: SiteDesk) -> None:
    key = new_key()
    old = replace(desk.claim(applicant(key=key)), issuer_sha256=b"\x02" * 32)
    desk.complete(old, desk.reserve(old))
    claim = desk.claim(applicant(key=key))
    reason = desk.reserve(claim)
    assert reason is Reason.RENEWED
    desk.complete(claim, reason)
    assert decisions(desk) == ["registered", "renewed"]


def test_reservation_holds_uuid_name_and_key_before_anything_is_signed(desk: SiteDesk) -> None:
    key = new_key()
    desk.reserve(desk.claim(applicant("dev-1", name="pump", key=key)))
    assert code_of(desk, desk.claim(applicant("DEV-1"))) == "device-uuid-case-twin"
    assert code_of(desk, desk.claim(applicant("dev-2", name="pump"))) == "device-name-taken"
    assert code_of(desk, desk.claim(applicant("dev-2", name="dev-1"))) == "device-name-taken"
    assert code_of(desk, desk.claim(applicant("pump"))) == "device-uuid-taken"
    assert code_of(desk, desk.claim(applicant("dev-2", key=key))) == "device-key-taken"
    desk.reserve(desk.claim(applicant("dev-2", name="pump-2")))
    assert counts(desk) == (2, 2)


def test_refused_reservation_counts_nothing(desk: SiteDesk) -> None:
    policy = SitePolicy(quota=Quota(total=1))
    desk.register("dev-1", policy=policy)
    assert code_of(desk, desk.claim(applicant("dev-2")), policy) == "quota-used-up"
    assert counts(desk) == (1, 1)


def test_quota_of_a_day_begins_anew_on_the_next(desk: SiteDesk) -> None:
    policy = SitePolicy(quota=Quota(per_day=1))
    desk.register("dev-1", policy=policy)
    assert code_of(desk, desk.claim(applicant("dev-2")), policy) == "quota-used-up"
    desk.reserve(desk.claim(applicant("dev-2", now=NOW + timedelta(days=1))), policy)


def test_clock_set_forward_and_back_frees_nothing_of_a_day(desk: SiteDesk) -> None:
    policy, tomorrow = SitePolicy(quota=Quota(per_day=1)), NOW + timedelta(days=1)
    desk.register("dev-1", policy=policy)
    desk.reserve(desk.claim(applicant("dev-2", now=tomorrow)), policy)
    assert code_of(desk, desk.claim(applicant("dev-3")), policy) == "quota-used-up"
    assert counts(desk) == (1, 2)
    desk.reserve(desk.claim(applicant("dev-3")), SitePolicy(quota=Quota(per_day=2)))


def test_clock_set_forward_and_back_frees_nothing_of_the_log(desk: SiteDesk) -> None:
    tomorrow = NOW + timedelta(days=1)
    for at in (NOW, NOW, tomorrow):
        entry = about(replace(applicant(), at=at), Decision.REFUSED)
        desk.journal.write(partial(note, entry=entry))
    assert desk.journal.write(partial(count_noted, now=NOW)) == 3
    assert desk.journal.write(partial(count_noted, now=tomorrow)) == 2


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_reason_of_a_conflict_does_not_hang_on_the_order_of_rows(desk: SiteDesk, order: tuple[str, str]) -> None:
    key = new_key()
    others = {"a": applicant("dev-1", name="pump"), "b": applicant("dev-2", key=key)}
    for which in order:
        desk.reserve(desk.claim(others[which]))
    assert code_of(desk, desk.claim(applicant("dev-3", name="pump", key=key))) == "device-key-taken"
    assert code_of(desk, desk.claim(applicant("dev-3", name="pump"))) == "device-name-taken"


def test_released_reservation_frees_everything_it_held(desk: SiteDesk) -> None:
    claim = desk.claim(applicant("dev-1", name="pump"))
    desk.reserve(claim)
    desk.journal.write(partial(release, serial=claim.serial, now=NOW))
    assert (counts(desk), decisions(desk)) == ((0, 0), ["voided"])
    other = desk.claim(applicant("dev-1", name="pump"))
    desk.complete(other, desk.reserve(other))


def test_completed_registration_is_not_released(desk: SiteDesk) -> None:
    claim = desk.claim(applicant())
    desk.complete(claim, desk.reserve(claim))
    desk.journal.write(partial(release, serial=claim.serial, now=NOW))
    assert (counts(desk), decisions(desk)) == ((1, 1), ["registered"])


def test_certificate_of_a_released_reservation_is_thrown_away(desk: SiteDesk) -> None:
    claim = desk.claim(applicant())
    reason = desk.reserve(claim)
    desk.journal.write(partial(take_back_what_a_crash_left, now=NOW))
    with pytest.raises(ConflictError, match="registration-superseded"):
        desk.complete(claim, reason)
    assert counts(desk) == (0, 0)


def test_leftover_of_a_failed_request_does_not_lock_its_uuid_out(desk: SiteDesk) -> None:
    key = new_key()
    desk.reserve(desk.claim(applicant(key=key)))
    claim = desk.claim(applicant(key=key))
    desk.complete(claim, desk.reserve(claim))
    assert (counts(desk), decisions(desk)) == ((1, 1), ["voided", "registered"])


def test_interrupted_replacement_leaves_the_device_as_it_was(desk: SiteDesk) -> None:
    key = new_key()
    claim = desk.claim(applicant(key=key))
    first = desk.complete(claim, desk.reserve(claim))
    assert desk.reserve(desk.claim(applicant()), REPLACE) is Reason.REPLACED
    desk.journal.write(partial(take_back_what_a_crash_left, now=NOW))
    again = desk.reserve(desk.claim(applicant(key=key)))
    assert isinstance(again, Issued)
    assert again.certificate == first.certificate


def test_replaced_key_is_free_for_nobody_until_it_is_replaced(desk: SiteDesk) -> None:
    desk.register("dev-1")
    key = new_key()
    claim = desk.claim(applicant("dev-1", key=key))
    desk.complete(claim, desk.reserve(claim, REPLACE))
    assert code_of(desk, desk.claim(applicant("dev-2", key=key))) == "device-key-taken"


def test_log_can_be_neither_changed_nor_shortened(desk: SiteDesk) -> None:
    desk.register("dev-1")
    for statement in ("UPDATE log SET uuid = 'x'", "DELETE FROM log"):
        with pytest.raises(Exception, match="journal-unavailable"):
            desk.journal.write(lambda connection, text=statement: connection.execute(text))  # type: ignore[misc]  # the loop's value is bound
    assert decisions(desk) == ["registered"]
