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


@pytest.mark.parametrize("deep", [33, 100_000])
def test_tables_in_tables_have_an_end(deep: int) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_sections(f'[{".".join(["a"] * deep)}]\nb = "1"\n')
    assert refused.value.code == "toml-too-deep"
    assert parse_sections(f'[{".".join(["a"] * 32)}]\nb = "1"\n') == {("a",) * 32: {"b": "1"}}


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


def nested(depth: int) -> st.SearchStrategy[dict[str, object]]:
    """Documents of few names, so that one's value is often another's table."""
    values = st.just("v") if depth == 0 else st.just("v") | nested(depth - 1)
    return st.dictionaries(st.sampled_from("ab"), values, max_size=2)


@given(nested(3), nested(3))
def test_whatever_is_merged_reads_back_and_above_wins(below: dict[str, object], above: dict[str, object]) -> None:
    sections = [parse_sections(print_sections(leaves(document))) for document in (below, above)]
    result = merge_sections(*sections)
    assert parse_sections(print_sections(result)) == result
    assert all(result[name][key] == value for name, keys in sections[1].items() for key, value in keys.items())


def leaves(document: dict[str, object], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict[str, str]]:
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= leaves(value, (*path, key))
        else:
            found.setdefault(path, {})[key] = str(value)
    return found


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ('a = "1"\n', '[a]\nx = "2"\n', {("a",): {"x": "2"}}),
        ('[a]\nx = "1"\n[a.b]\ny = "1"\n', 'a = "2"\n', {(): {"a": "2"}}),
        ('[a]\nb = "1"\nc = "1"\n', '[a.b]\nx = "2"\n', {("a",): {"c": "1"}, ("a", "b"): {"x": "2"}}),
    ],
)
def test_value_and_table_of_one_name_do_not_stand_side_by_side(below: str, above: str, expected: object) -> None:
    assert merge_sections(parse_sections(below), parse_sections(above)) == expected
