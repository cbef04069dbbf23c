"""Which columns of a device table give way, and which do not."""

import msgspec
import pytest
from msgspec.structs import replace

from ownroot.cli.devices_export import _row
from ownroot.cli.devices_table import columns, fitting
from ownroot.wire.devices import DeviceObject, SuspicionObject

SINCE = "2026-11-27T02:00:00+00:00"
UUID = "11111111-2222-4333-8444-000000000001"
DEVICE = DeviceObject(uuid=UUID, factory="acme", name="line-2-07", owner="0" * 24, tag="main", ca_serial="7" * 49)
EVERY = columns(standing=lambda _: "never seen", last_seen=lambda _: "-", owners={"0" * 24: "ada"}, with_factory=False)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (5, ["NAME"]),
        (30, ["NAME", "STATUS", "GROUP"]),
        (80, ["NAME", "UUID", "STATUS", "LAST SEEN", "GROUP"]),
        (88, ["NAME", "UUID", "STATUS", "LAST SEEN", "GROUP", "OWNER"]),
        (1000, [column.heading for column in EVERY]),
    ],
)
def test_columns_give_way_to_the_width(width: int, expected: list[str]) -> None:
    assert [column.heading for column in fitting(EVERY, [DEVICE], width)] == expected


def test_uuid_that_does_not_fit_leaves_its_room_to_narrow_columns() -> None:
    """Devices without a name of their own are called by their uuid."""
    unnamed = replace(DEVICE, name=UUID)
    assert [column.heading for column in fitting(EVERY, [unnamed], 80)] == [
        *("NAME", "STATUS", "LAST SEEN", "GROUP", "OWNER", "PROD")
    ]
    assert [column.heading for column in fitting(EVERY, [unnamed], 97)] == ["NAME", "UUID", "STATUS", "LAST SEEN"]


def test_owner_is_shown_by_name_and_a_stranger_by_id() -> None:
    (owner,) = (column for column in EVERY if column.heading == "OWNER")
    assert owner.text(DEVICE) == "ada"
    assert owner.text(DeviceObject(uuid="u", factory="acme", owner="1" * 24)) == "1" * 24


@pytest.mark.parametrize(("tag", "expected"), [("main", "main"), ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("a=b", "a=b")])
def test_no_text_of_a_device_is_a_formula_for_a_spreadsheet(tag: str, expected: str) -> None:
    assert expected in _row(msgspec.structs.replace(DEVICE, tag=tag))


@pytest.mark.parametrize(
    ("suspicion", "expected"),
    [
        (None, ["", ""]),
        (SuspicionObject(sign="two-networks", detail="=1", since=SINCE), ["two-networks", ""]),
        (SuspicionObject(sign="old-key", detail="=1", since=SINCE, quarantined_at=SINCE), ["old-key", SINCE]),
    ],
)
def test_a_row_has_the_sign_of_a_suspicion_and_its_quarantine(
    suspicion: SuspicionObject | None, expected: list[str]
) -> None:
    row = _row(msgspec.structs.replace(DEVICE, suspicion=suspicion))
    assert row[-3:-1] == expected
    assert "=1" not in row
