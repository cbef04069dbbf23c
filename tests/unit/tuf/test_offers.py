"""Which target a device is offered, and what is not for it."""

import pytest

from ownroot.tuf.canonical import Json
from ownroot.tuf.offers import newest_offer


def entry(version: Json = "7", tags: Json = ("main",), hardware: Json = ("rpi4",)) -> dict[str, Json]:
    listed = [list(value) if isinstance(value, tuple) else value for value in (tags, hardware)]
    return {"length": 0, "custom": {"version": version, "tags": listed[0], "hardwareIds": listed[1]}}


def newest(entries: Json, *tags: str) -> str | None:
    offer = newest_offer({"targets": entries}, tags=tags or ("main",), hardware_id="rpi4")
    return None if offer is None else offer.name


def test_highest_number_wins_whatever_the_name_or_the_order() -> None:
    assert newest({"z-9": entry("9"), "a-10": entry("10"), "zz-8": entry("8")}) == "a-10"
    assert newest({"b": entry("9"), "a": entry("9")}) == "b"
    assert newest({"ours": entry(), "other": entry("8", hardware=("rpi5",)), "devel": entry("9", ("devel",))}) == "ours"
    assert newest({"main": entry(), "devel": entry("9", ("devel", "x"))}, "devel", "main") == "devel"


@pytest.mark.parametrize(
    "target",
    [
        entry(tags=("devel",)),
        entry(hardware=("rpi5",)),
        entry(tags=()),
        entry(hardware="rpi4"),
        entry(tags=(1,)),
        entry(7),
        entry("7a"),
        entry("-7"),
        entry("\u0667"),
        {"length": 0},
        {"length": 0, "custom": []},
        [],
    ],
)
def test_what_does_not_say_that_it_is_for_us_is_not_offered(target: Json) -> None:
    assert newest({"lmp-7": target}) is None
    assert newest({"lmp-7": entry()}) == "lmp-7"


@pytest.mark.parametrize("targets", [None, [], {}, {"targets": []}])
def test_no_targets_offer_nothing(targets: Json) -> None:
    assert newest_offer(targets, tags=("main",), hardware_id="rpi4") is None
