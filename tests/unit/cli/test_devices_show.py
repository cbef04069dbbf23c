"""Whether a device counts as online, and what a list says of it."""

from datetime import UTC, datetime, timedelta

import pytest

from ownroot.cli.devices_show import Presence, presence, standing
from ownroot.wire.devices import DeviceObject, SuspicionObject

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last_seen", "expected"),
    [
        (None, Presence.NEVER),
        ("", Presence.NEVER),
        ("yesterday", Presence.NEVER),
        ("2026-11-23T08:00:00+00:00", Presence.ONLINE),
        ("2026-11-23T08:00:00", Presence.ONLINE),
        ("2026-11-23T07:59:59Z", Presence.OFFLINE),
        ("2026-11-23T09:59:59+02:00", Presence.OFFLINE),
    ],
)
def test_device_is_offline_after_the_threshold(last_seen: str | None, expected: Presence) -> None:
    device = DeviceObject(uuid="u", factory="acme", last_seen=last_seen)
    assert presence(device, now=NOW, offline_after=timedelta(hours=4)) is expected


@pytest.mark.parametrize(
    ("suspicion", "expected"),
    [
        (None, "online"),
        (SuspicionObject(sign="old-key", detail="", since=""), "online, copied?"),
        (SuspicionObject(sign="old-key", detail="", since="", quarantined_at="2026-11-23T08:00:00Z"), "quarantined"),
    ],
)
def test_a_list_marks_a_device_whose_key_may_be_copied(suspicion: SuspicionObject | None, expected: str) -> None:
    assert standing(DeviceObject(uuid="u", factory="acme", suspicion=suspicion), Presence.ONLINE) == expected
