"""From a command line to the entry of a targets document."""

from typing import Any

import pytest

from ownroot.cli.target_entry import EntryOptions, make_entry, why_never_offered
from ownroot.errors import InvalidInputError

SHA = "4f" * 32


def custom(name: str = "lmp-7", **options: object) -> object:
    return make_entry(name, "main", EntryOptions(sha256=SHA, length=0, **options))["custom"]  # type: ignore[arg-type]


def test_name_that_ends_in_a_number_says_name_and_version() -> None:
    assert custom() == {"name": "lmp", "version": "7", "tags": ["main"]}
    assert custom("lmp") == {"tags": ["main"]}
    assert custom("lmp-beta") == {"tags": ["main"]}


def test_named_options_win_over_custom() -> None:
    made = custom(custom='{"version": "1", "name": "other", "tags": ["x"], "arch": "arm64"}', version="9")

    assert made == {"name": "other", "version": "9", "tags": ["main"], "arch": "arm64"}


@pytest.mark.parametrize("text", ["{", "[]", "1", "null"])
def test_custom_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="target-custom-invalid"):
        custom(custom=text)


def test_target_without_content_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="tuf-target-invalid"):
        make_entry("lmp-7", "main", EntryOptions())


@pytest.mark.parametrize(
    ("name", "options", "lacking"),
    [
        ("lmp-7", {"hardware_ids": ("pi4",)}, ()),
        ("lmp-7", {"custom": '{"hardwareIds": ["pi4"]}'}, ()),
        ("lmp-7", {}, ("--hardware-id",)),
        ("lmp", {"hardware_ids": ("pi4",)}, ("--version (a number)",)),
        ("lmp", {"hardware_ids": ("pi4",), "version": "7b"}, ("--version (a number)",)),
    ],
)
def test_target_that_no_device_is_offered_lacks_hardware_or_a_number(
    name: str, options: dict[str, Any], lacking: tuple[str, ...]
) -> None:
    assert why_never_offered(make_entry(name, "main", EntryOptions(sha256=SHA, length=0, **options))) == lacking
