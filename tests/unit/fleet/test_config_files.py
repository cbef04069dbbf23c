"""What a configuration file may be called and what fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.fleet.config_files import (
    MAX_CONFIG_BYTES,
    ConfigFile,
    check_files,
    keep_handlers,
    parse_file_name,
    put_files,
    remove_file,
)


def code_of(*files: ConfigFile, is_plain: bool = True) -> str:
    try:
        check_files(files, is_plain=is_plain)
    except InvalidInputError as error:
        return error.code
    return "ok"


@pytest.mark.parametrize("name", ["a", "a/b/c.txt", "..a", "a..", "a b", "Ä", ".hidden", "z-50-fioctl.toml"])
def test_name_that_stays_below_its_directory_is_taken(name: str) -> None:
    assert parse_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a\\b", "a\0", "a\nb", "\x7f", "a" * 256],
)
def test_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_file_name(name)
    assert refused.value.code == "config-file-name"


@given(st.text())
def test_no_accepted_name_leaves_the_directory(name: str) -> None:
    try:
        parts = parse_file_name(name).split("/")
    except InvalidInputError:
        return
    assert not {"", ".", ".."} & set(parts)


def test_size_counts_names_values_and_handlers() -> None:
    fits = ConfigFile("abc", "x" * (MAX_CONFIG_BYTES - 5), on_changed=("hh",))
    assert code_of(fits) == "ok"
    assert code_of(ConfigFile("abcd", fits.value, on_changed=("hh",))) == "config-too-large"


def test_file_is_not_given_twice_nor_as_a_directory_too() -> None:
    assert code_of(ConfigFile("a", "1"), ConfigFile("a", "2")) == "config-file-twice"
    assert code_of(ConfigFile("a", "1"), ConfigFile("a/b", "2")) == "config-file-name"
    assert code_of(ConfigFile("a", "1"), ConfigFile("ab/c", "2")) == "ok"


def test_sections_are_checked_where_the_value_is_plain() -> None:
    numbers = ConfigFile("z-50-fioctl.toml", "[a]\nb = 1\n")
    assert code_of(numbers) == "toml-not-a-string"
    assert code_of(numbers, is_plain=False) == "ok"
    assert code_of(ConfigFile(numbers.name, numbers.value, unencrypted=True), is_plain=False) == "toml-not-a-string"
    assert code_of(ConfigFile(numbers.name, '[a]\nb = "1"\n')) == "ok"


def test_text_no_encoding_can_carry_is_refused() -> None:
    assert code_of(ConfigFile("a", "\ud800")) == "config-text"
    assert code_of(ConfigFile("a", "", on_changed=("a\0b",))) == "config-text"


def test_merge_keeps_others_whole_and_handlers_are_the_owners() -> None:
    handled = ConfigFile("a", "1", True, ("h",))
    assert put_files([handled], [ConfigFile("b", "2")]) == (handled, ConfigFile("b", "2"))
    assert keep_handlers([handled], [ConfigFile("a", "2"), ConfigFile("c", "3", on_changed=("evil",))]) == (
        ConfigFile("a", "2", on_changed=("h",)),
        ConfigFile("c", "3"),
    )


def test_only_a_file_that_is_there_is_removed() -> None:
    assert remove_file([ConfigFile("a", "1"), ConfigFile("b", "2")], "a") == (ConfigFile("b", "2"),)
    with pytest.raises(NotFoundError) as refused:
        remove_file([ConfigFile("a", "1")], "b")
    assert refused.value.code == "config-file-unknown"
