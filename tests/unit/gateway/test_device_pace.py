"""How often one device may ask for what is costly."""

import pytest

from ownroot.gateway.device_pace import RENEWALS, DevicePace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> DevicePace:
    return DevicePace(RENEWALS, clock)


def test_six_at_once_and_then_one_every_ten_seconds(pace: DevicePace, clock: Clock) -> None:
    assert [pace.wait_seconds(1, b"dev") for _ in range(8)] == [0] * 6 + [10, 10]
    clock.now += 9.5
    assert pace.wait_seconds(1, b"dev") == 1
    clock.now += 0.5
    assert [pace.wait_seconds(1, b"dev") for _ in range(2)] == [0, 10]


def test_a_device_that_waited_has_all_its_turns_again(pace: DevicePace, clock: Clock) -> None:
    assert [pace.wait_seconds(1, b"dev") for _ in range(7)][-1] == 10
    clock.now += 60
    assert [pace.wait_seconds(1, b"dev") for _ in range(7)] == [0] * 6 + [10]


def test_devices_and_factories_do_not_wait_for_each_other(pace: DevicePace) -> None:
    for _ in range(7):
        pace.wait_seconds(1, b"dev")
    assert pace.wait_seconds(1, b"other") == pace.wait_seconds(2, b"dev") == 0
    assert pace.wait_seconds(1, b"dev") > 0


def test_the_longest_silent_devices_are_forgotten_first(monkeypatch: pytest.MonkeyPatch, pace: DevicePace) -> None:
    monkeypatch.setattr("ownroot.gateway.device_pace._DEVICES_REMEMBERED", 2)
    for _ in range(7):
        pace.wait_seconds(1, b"first")
    assert pace.wait_seconds(1, b"second") == pace.wait_seconds(1, b"third") == 0
    assert pace.wait_seconds(1, b"first") == 0
