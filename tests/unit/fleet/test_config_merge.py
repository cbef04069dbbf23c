"""What a device gets of three scopes."""

import tomllib

import pytest

from ownroot.fleet.config_files import ConfigFile
from ownroot.fleet.config_merge import merge_scopes

SECTIONS = "z-50-fioctl.toml"


def merged(
    factory: tuple[ConfigFile, ...] = (), group: tuple[ConfigFile, ...] = (), device: tuple[ConfigFile, ...] = ()
):
    return {file.name: file for file in merge_scopes(factory, group, device)}


def test_later_scope_wins_whole_files_with_their_handlers() -> None:
    files = merged(
        (ConfigFile("a", "1", on_changed=("h",)), ConfigFile("b", "1")),
        (ConfigFile("a", "2"),),
        (ConfigFile("b", "3", True),),
    )
    assert files == {"a": ConfigFile("a", "2", True), "b": ConfigFile("b", "3", True)}


def test_shared_values_are_always_said_to_be_plain_and_a_devices_own_are_not() -> None:
    files = merged((ConfigFile("a", "1"),), (), (ConfigFile("b", "c2VjcmV0"), ConfigFile("empty", "")))
    assert {name: file.unencrypted for name, file in files.items()} == {"a": True, "b": False, "empty": True}


def test_sections_are_merged_and_stay_strings() -> None:
    files = merged(
        (ConfigFile(SECTIONS, '[pacman]\ntags = "a"\nnumber = "5"\n', on_changed=("update",)),),
        (ConfigFile(SECTIONS, '[pacman]\ntags = "b"\n'),),
        (ConfigFile(SECTIONS, '[uptane]\npolling = "60"\n', True),),
    )
    text = '[pacman]\ntags = "b"\nnumber = "5"\n\n[uptane]\npolling = "60"\n'
    assert files[SECTIONS] == ConfigFile(SECTIONS, text, True, ("update",))


@pytest.mark.parametrize(("below", "above"), [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_later_scope_wins_over_a_directory_where_it_has_a_file_and_the_other_way_round(below: str, above: str) -> None:
    other = ConfigFile("a-b", "1")
    files = merged((ConfigFile(below, "1"), other), (ConfigFile(above, "2"),))
    assert set(files) == {above, "a-b"}
    files = merged((ConfigFile(below, "1"), other), (ConfigFile(f"x{above}", "2"),))
    assert set(files) == {below, f"x{above}", "a-b"}


def test_of_three_scopes_that_exclude_each_other_the_last_one_stays() -> None:
    assert set(merged((ConfigFile("a", "1"),), (ConfigFile("a/b", "2"),), (ConfigFile("a", "3"),))) == {"a"}


def test_section_takes_the_place_of_a_value_and_is_still_readable() -> None:
    files = merged((ConfigFile(SECTIONS, 'pacman = "1"\n'),), (ConfigFile(SECTIONS, '[pacman]\ntags = "b"\n'),))
    assert tomllib.loads(files[SECTIONS].value) == {"pacman": {"tags": "b"}}


def test_encrypted_sections_cannot_be_merged_and_stand_alone() -> None:
    own = ConfigFile(SECTIONS, "c2VjcmV0")
    assert merged((ConfigFile(SECTIONS, '[a]\nb = "1"\n'),), (), (own,))[SECTIONS] == own
