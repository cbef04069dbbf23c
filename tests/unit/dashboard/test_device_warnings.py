"""What is on record under a uuid, in words for whoever decides, with every name as text."""

from dataclasses import replace

import pytest

from ownroot.dashboard.device_warnings import placement, warnings
from ownroot.pki.names import DeviceUuid
from ownroot.services.read_uuid_record import UuidRecord
from ownroot.services.records import DeniedDevice, Device, GroupRef, HeldDevice, User
from tests.support.registering import NOW

UUID = DeviceUuid("dev-1")
ADA = User("a" * 24, "<ada>")
KNOWN = Device(
    factory_id=1,
    uuid=UUID,
    name="pump",
    owner=ADA.polis_id,
    spki_der=b"",
    spki_sha256=b"",
    production=False,
    issuer_sha256=b"",
    issuer_serial=1,
    created_at=NOW,
)
DENIED = DeniedDevice(1, UUID, "old-pump", ADA.polis_id, b"", NOW, ADA.polis_id)
HELD = HeldDevice(1, UUID, b"key", b"", 1, ADA.polis_id, NOW, NOW)

RECORDS = {
    "on the deny list": UuidRecord(denied=DENIED, denied_by=ADA),
    "held for review": UuidRecord(waiting=(HELD,)),
    "known already": UuidRecord(known=KNOWN, owner=ADA),
    "from before the take-over": UuidRecord(known=KNOWN, owner=ADA, is_unclaimed=True),
    "in other letters": UuidRecord(has_case_twin=True),
}


def test_new_uuid_gets_no_warning_and_no_name() -> None:
    assert warnings(UuidRecord()) + placement(UuidRecord()) == ""


@pytest.mark.parametrize("words", RECORDS)
def test_each_thing_on_record_is_one_warning_of_its_own(words: str) -> None:
    html = warnings(RECORDS[words])
    assert html.count('class="warning"') == 1
    assert [other for other in RECORDS if other in html] == [words]


def test_several_things_on_record_are_all_told() -> None:
    html = warnings(UuidRecord(denied=DENIED, denied_by=ADA, waiting=(HELD,)))
    assert html.count('class="warning"') == 2


def test_deleted_device_is_named_where_it_had_a_name() -> None:
    assert "it was called old-pump." in warnings(UuidRecord(denied=DENIED, denied_by=ADA))
    nameless = replace(DENIED, name=UUID)
    assert "was called" not in warnings(UuidRecord(denied=nameless, denied_by=ADA))


def test_names_of_people_are_text() -> None:
    html = warnings(UuidRecord(known=KNOWN, owner=ADA))
    assert ("<ada>" in html, "&lt;ada&gt; owns it since 2026-11-23 12:00:00 UTC" in html) == (False, True)


@pytest.mark.parametrize(("group", "shown"), [(GroupRef(1, "edge"), "edge"), (None, "none")])
def test_known_device_is_shown_with_the_name_and_group_it_keeps(group: GroupRef | None, shown: str) -> None:
    html = placement(UuidRecord(known=replace(KNOWN, group=group), owner=ADA))
    assert "<dd>pump</dd>" in html
    assert f"<dd>{shown}</dd>" in html
