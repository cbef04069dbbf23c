import pytest

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json
from ownroot.tuf.targets import check_target

ENTRY: dict[str, Json] = {"length": 0, "hashes": {"sha256": "ab" * 32}, "custom": {"version": "1", "tags": ["main"]}}


def test_target_of_the_field_is_taken() -> None:
    check_target("intel-corei7-64-lmp-42", ENTRY)
    check_target("a", {"length": 7, "hashes": {"sha256": "00" * 32, "sha512": "x"}})


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a b", "é", "-a", "x" * 256, "a\n"])
def test_names_that_are_paths_or_unreadable_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="tuf-target-invalid"):
        check_target(name, ENTRY)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        ENTRY | {"more": 1},
        ENTRY | {"custom": []},
        ENTRY | {"length": -1},
        ENTRY | {"length": True},
        ENTRY | {"length": "0"},
        ENTRY | {"hashes": []},
        ENTRY | {"hashes": {"sha256": "AB" * 32}},
        ENTRY | {"hashes": {}},
        ENTRY | {"custom": {"uri": "https://example.test/?a=1&b=2"}},
        ENTRY | {"custom": {"name": "Schlüssel"}},
    ],
)
def test_entries_that_some_device_reads_differently_are_refused(entry: Json) -> None:
    with pytest.raises(InvalidInputError, match="tuf-target-invalid"):
        check_target("lmp-1", entry)
