"""What a site allows: windows, quotas, production marks, and who chooses a group."""

from datetime import timedelta

import pytest

from ownroot.errors import InvalidInputError, RefusedError
from ownroot.registration.applicant import Sender
from ownroot.registration.policy import Production, Quota, SitePolicy, Window
from tests.support.certificates import NOW
from tests.support.registration_desk import applicant

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("window", [Window(), Window(opens=NOW), Window(closes=NOW), Window(NOW, NOW)])
def test_window_is_open_at_both_of_its_ends(window: Window) -> None:
    window.demand_open(NOW)


@pytest.mark.parametrize(
    ("window", "code"),
    [(Window(opens=NOW + SECOND), "window-not-open-yet"), (Window(closes=NOW - SECOND), "window-closed")],
)
def test_window_is_closed_a_second_beyond(window: Window, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        SitePolicy(window=window).judge(applicant())
    assert caught.value.code == code


@pytest.mark.parametrize("quota", [Quota(), Quota(per_day=2), Quota(total=11), Quota(per_day=2, total=11)])
def test_quota_has_room_for_one_more(quota: Quota) -> None:
    quota.demand_room(today=1, total=10)


@pytest.mark.parametrize("quota", [Quota(per_day=1), Quota(total=10), Quota(per_day=0)])
def test_full_quota_has_none(quota: Quota) -> None:
    with pytest.raises(RefusedError, match="quota-used-up"):
        quota.demand_room(today=1, total=10)


@pytest.mark.parametrize("production", [Production.ALLOW, Production.FORCE])
def test_device_may_call_itself_a_production_device(production: Production) -> None:
    SitePolicy(production=production).judge(applicant(production=True))


def test_device_may_not_where_it_is_forbidden() -> None:
    SitePolicy().judge(applicant())
    with pytest.raises(RefusedError, match="production-forbidden"):
        SitePolicy().judge(applicant(production=True))


def test_known_sender_chooses_a_group_and_an_unknown_one_does_not() -> None:
    assert applicant(group="edge", sender=Sender("station-7")).group == "edge"
    with pytest.raises(InvalidInputError, match="group-not-yours"):
        applicant(group="edge", sender=Sender("", "10.0.0.7"))


def test_group_of_a_known_sender_is_a_name() -> None:
    with pytest.raises(InvalidInputError, match="name-invalid"):
        applicant(group="../x", sender=Sender("station-7"))
