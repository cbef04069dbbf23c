"""The table of what an identified device may do (protocol: gateway.md §3.1 step 5, §3.3)."""

import dataclasses
from datetime import UTC, datetime

import pytest

from ownroot.pki.encoding import certificate_der
from ownroot.trust.admission import (
    Admission,
    FirstContact,
    GoOn,
    KnownDevice,
    Promote,
    Refuse,
    RefuseReplacedKey,
    admit,
)
from ownroot.trust.device_identity import GatewayTrust, Identified, identify
from ownroot.trust.state import DeviceCa, Holder, Standing
from tests.support.owner_pki import DEVICE, FACTORY, LOCAL_CA, NOW, OWNER, UUID, key_id, make

PINNED, OTHER, NEXT = key_id("device"), key_id("clone"), key_id("next device")
ENABLED, DISABLED = Standing.ENABLED, Standing.DISABLED


def identify_device() -> Identified:
    ca = DeviceCa(make(LOCAL_CA), Holder.LOCAL, ENABLED, owner_id=OWNER, uploaded_by=OWNER, signs=False)
    device = identify(certificate_der(make(DEVICE)), GatewayTrust(FACTORY, (ca,)), NOW)
    assert isinstance(device, Identified)
    return device


def admission(
    known: KnownDevice | None,
    *,
    denied: bool = False,
    case_twin: bool = False,
    ca_standing: Standing | None = ENABLED,
    key_replaced_at: datetime | None = None,
) -> Admission:
    return admit(
        identify_device(),
        known,
        denied=denied,
        case_twin=case_twin,
        ca_standing=ca_standing,
        key_replaced_at=key_replaced_at,
    )


def refusal_code(answer: Admission) -> str:
    assert isinstance(answer, Refuse)
    assert UUID in answer.detail
    return answer.code


def test_an_unknown_device_under_an_enabled_ca_is_a_first_contact() -> None:
    assert admission(None) == FirstContact(replaces_key=False)


def test_an_unknown_device_under_a_disabled_ca_is_refused() -> None:
    assert refusal_code(admission(None, ca_standing=DISABLED)) == "device-ca-disabled"


def test_an_unknown_device_that_was_deleted_is_refused() -> None:
    assert refusal_code(admission(None, denied=True)) == "device-denied"


def test_an_unknown_device_that_differs_in_letter_case_alone_is_refused() -> None:
    assert refusal_code(admission(None, case_twin=True)) == "device-uuid-case-twin"


@pytest.mark.parametrize("standing", [ENABLED, DISABLED])
def test_a_known_device_with_its_key_goes_on_whatever_the_ca_says_about_new_ones(standing: Standing) -> None:
    assert admission(KnownDevice(PINNED), ca_standing=standing) == GoOn()


@pytest.mark.parametrize("standing", [ENABLED, DISABLED])
def test_a_known_device_with_its_next_key_is_promoted(standing: Standing) -> None:
    assert admission(KnownDevice(OTHER, next_spki_sha256=PINNED), ca_standing=standing) == Promote()


@pytest.mark.parametrize("known", [KnownDevice(OTHER), KnownDevice(OTHER, next_spki_sha256=NEXT)])
def test_a_known_device_with_any_other_key_is_refused(known: KnownDevice) -> None:
    assert refusal_code(admission(known)) == "device-key-mismatch"


def test_a_known_device_goes_on_though_another_uuid_differs_in_letter_case_alone() -> None:
    assert admission(KnownDevice(PINNED), case_twin=True) == GoOn()


@pytest.mark.parametrize("known", [KnownDevice(PINNED), KnownDevice(OTHER, next_spki_sha256=PINNED)])
def test_a_deleted_device_is_refused_whatever_else_is_stored(known: KnownDevice) -> None:
    assert refusal_code(admission(known, denied=True)) == "device-denied"


@pytest.mark.parametrize("known", [None, KnownDevice(PINNED), KnownDevice(OTHER, next_spki_sha256=PINNED)])
def test_a_ca_that_lost_trust_since_the_snapshot_vouches_for_nobody(known: KnownDevice | None) -> None:
    assert refusal_code(admission(known, ca_standing=None)) == "device-ca-not-trusted"


@pytest.mark.parametrize("known", [None, KnownDevice(OTHER), KnownDevice(OTHER, is_unclaimed=True)])
def test_a_key_that_a_device_replaced_is_refused_with_the_time_of_that(known: KnownDevice | None) -> None:
    answer = admission(known, key_replaced_at=NOW)
    assert isinstance(answer, RefuseReplacedKey)
    assert answer.code == "device-key-replaced"
    assert "2026-11-23 12:00:00 UTC" in answer.detail


def test_the_pinned_key_goes_on_whatever_else_is_said_of_it() -> None:
    assert admission(KnownDevice(PINNED), key_replaced_at=NOW) == GoOn()


# --- a device last accepted under the shared PKI, in a factory taken over since


def unclaimed(pinned: bytes, next_key: bytes | None = None) -> KnownDevice:
    return KnownDevice(pinned, next_spki_sha256=next_key, is_unclaimed=True)


@pytest.mark.parametrize("standing", [ENABLED, DISABLED])
def test_an_unclaimed_device_with_the_same_key_just_goes_on(standing: Standing) -> None:
    assert admission(unclaimed(PINNED), ca_standing=standing) == GoOn()


@pytest.mark.parametrize("next_key", [None, NEXT, PINNED], ids=["no-next-key", "another-next-key", "that-next-key"])
def test_an_unclaimed_device_with_another_key_is_a_first_contact_that_replaces_it(next_key: bytes | None) -> None:
    """Also when the old identity announced that key: what it said counts for nothing now."""
    assert admission(unclaimed(OTHER, next_key)) == FirstContact(replaces_key=True)


def test_an_unclaimed_device_with_another_key_under_a_disabled_ca_is_refused() -> None:
    assert refusal_code(admission(unclaimed(OTHER), ca_standing=DISABLED)) == "device-ca-disabled"


def test_an_unclaimed_device_that_was_deleted_is_refused() -> None:
    assert refusal_code(admission(unclaimed(OTHER), denied=True)) == "device-denied"


QUARANTINED = KnownDevice(PINNED, quarantined_at=datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_device_in_quarantine_is_refused_with_its_pinned_key() -> None:
    assert refusal_code(admission(QUARANTINED)) == "device-quarantined"
    assert admission(dataclasses.replace(QUARANTINED, quarantined_at=None)) == GoOn()


def test_a_device_in_quarantine_is_refused_with_its_next_key_too() -> None:
    announced = dataclasses.replace(QUARANTINED, spki_sha256=OTHER, next_spki_sha256=PINNED)
    assert refusal_code(admission(announced)) == "device-quarantined"
    assert admission(dataclasses.replace(announced, quarantined_at=None)) == Promote()


def test_a_quarantine_does_not_hide_that_a_device_was_deleted() -> None:
    assert refusal_code(admission(QUARANTINED, denied=True)) == "device-denied"
