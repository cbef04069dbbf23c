"""Which devices a restored server holds for its owner: those whose certificate was issued since the backup."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from ownroot.errors import RefusedError
from ownroot.pki.encoding import certificate_der
from ownroot.trust.admission import Admission, FirstContact, GoOn, Hold, Promote, Refuse, RefuseKey
from ownroot.trust.device_identity import GatewayTrust, Identified, identify
from ownroot.trust.restores import RestoreWindow, hold_back, may_be_held, open_window
from ownroot.trust.state import DeviceCa, Holder, Standing
from tests.support.owner_pki import DEVICE, FACTORY, LOCAL_CA, NOW, OWNER, changed

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
BACKUP, RESTORE = NOW - 3 * DAY, NOW - DAY
WINDOW = RestoreWindow(BACKUP, RESTORE)
OTHER_KEY = RefuseKey("device-key-mismatch", "known with another key")


def identified(holder: Holder, began: datetime) -> Identified:
    ca = DeviceCa(
        changed(LOCAL_CA, start=NOW - 30 * DAY),
        holder,
        Standing.ENABLED,
        owner_id=OWNER,
        uploaded_by=OWNER,
        signs=False,
    )
    device = identify(certificate_der(changed(DEVICE, start=began)), GatewayTrust(FACTORY, (ca,)), NOW)
    assert isinstance(device, Identified)
    return device


def held(
    admission: Admission,
    *,
    holder: Holder = Holder.ONLINE,
    began: datetime = NOW - 2 * DAY,
    windows: Sequence[RestoreWindow] = (WINDOW,),
    is_logged: bool = False,
) -> Admission:
    return hold_back(admission, identified(holder, began), windows, is_logged=is_logged)


@pytest.mark.parametrize("holder", list(Holder))
@pytest.mark.parametrize(
    ("admission", "expected"),
    [
        (FirstContact(), Hold(replaces_key=False)),
        (FirstContact(replaces_key=True), Hold(replaces_key=True)),
        (OTHER_KEY, Hold(replaces_key=True)),
    ],
)
def test_what_a_certificate_issued_since_would_change_is_held(
    holder: Holder, admission: Admission, expected: Hold
) -> None:
    assert may_be_held(admission)
    assert held(admission, holder=holder) == expected


@pytest.mark.parametrize("holder", list(Holder))
@pytest.mark.parametrize("admission", [FirstContact(), OTHER_KEY])
def test_without_a_restore_nothing_is_held(holder: Holder, admission: Admission) -> None:
    assert held(admission, holder=holder, windows=()) == admission


@pytest.mark.parametrize("admission", [GoOn(), Promote(), Refuse("device-denied", "deleted")])
def test_a_known_key_goes_on_and_a_refusal_stays_one(admission: Admission) -> None:
    assert not may_be_held(admission)
    assert held(admission) == admission


# --- issuers whose key the backend holds: the log decides, and no clock


@pytest.mark.parametrize("began", [NOW - 20 * DAY, NOW - 2 * DAY, NOW])
def test_a_certificate_of_an_online_ca_that_is_not_in_the_log_is_held_whatever_its_dates(began: datetime) -> None:
    assert held(FirstContact(), began=began) == Hold(replaces_key=False)


@pytest.mark.parametrize("began", [NOW - 20 * DAY, NOW - 2 * DAY, NOW])
def test_a_certificate_of_an_online_ca_that_is_in_the_log_is_not_held(began: datetime) -> None:
    assert held(FirstContact(), began=began, is_logged=True) == FirstContact()


# --- other issuers: the certificate's own date decides


@pytest.mark.parametrize(
    ("began", "is_held"),
    [
        (BACKUP - 65 * MINUTE - SECOND, False),
        (BACKUP - 65 * MINUTE, True),
        (BACKUP, True),
        (RESTORE, True),
        (RESTORE + 5 * MINUTE, True),
        (RESTORE + 5 * MINUTE + SECOND, False),
    ],
)
def test_a_certificate_of_a_local_ca_is_held_when_it_began_in_the_window(began: datetime, is_held: bool) -> None:
    expected = Hold(replaces_key=False) if is_held else FirstContact()
    assert held(FirstContact(), holder=Holder.LOCAL, began=began) == expected


def test_each_of_several_windows_counts_and_the_time_between_them_does_not() -> None:
    windows = (RestoreWindow(NOW - 20 * DAY, NOW - 19 * DAY), WINDOW)
    inside = held(FirstContact(), holder=Holder.LOCAL, began=NOW - 19 * DAY, windows=windows)
    between = held(FirstContact(), holder=Holder.LOCAL, began=NOW - 10 * DAY, windows=windows)
    assert (inside, between) == (Hold(replaces_key=False), FirstContact())


# --- opening a window


def test_a_window_reaches_from_the_backup_to_the_restore() -> None:
    assert open_window(BACKUP, now=NOW) == RestoreWindow(BACKUP, NOW)


def test_a_clock_that_is_a_little_behind_opens_a_window_of_no_length() -> None:
    assert open_window(NOW, now=NOW - 5 * MINUTE) == RestoreWindow(NOW, NOW)


def test_a_clock_that_is_further_behind_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        open_window(NOW, now=NOW - 5 * MINUTE - SECOND)
    assert refused.value.code == "clock-before-backup"
