"""TOML of strings: what is read, what is refused, what is printed."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.fleet.toml_sections import merge_sections, parse_sections, print_sections

names = st.text(min_size=1, max_size=8)
tables = st.dictionaries(names, st.text(), max_size=4)


@pytest.mark.parametrize("value", ["5", "-1", "1.5", "true", "2026-11-23", '["a"]', '[{a = "b"}]'])
def test_value_that_is_no_string_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_sections(f"[pacman.x]\ntags = {value}\n")
    assert refused.value.code == "toml-not-a-string"
    assert "pacman.x.tags" in refused.value.detail


@pytest.mark.parametrize("text", ["[a", "a", 'a = "1"\na = "2"', "a = '\x00'"])
def test_unreadable_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_sections(text)
    assert refused.value.code == "toml-malformed"


@given(st.dictionaries(names, tables.filter(bool), max_size=4))
def test_whatever_is_printed_reads_back_the_same(document: dict[str, dict[str, str]]) -> None:
    sections = {(name,): dict(table) for name, table in document.items()}
    text = print_sections(sections)
    assert tomllib.loads(text) == document
    assert parse_sections(text) == sections


def test_keys_without_a_section_come_first() -> None:
    assert print_sections({("a",): {"x": "1"}, (): {"y": "2"}}) == 'y = "2"\n\n[a]\nx = "1"\n'


def test_merge_is_key_by_key() -> None:
    below = parse_sections('[a]\nx = "1"\ny = "1"\n')
    above = parse_sections('[a]\ny = "2"\n[b.c]\nz = "3"\n')
    assert merge_sections(below, above) == {("a",): {"x": "1", "y": "2"}, ("b", "c"): {"z": "3"}}
