import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json, decode, encode, find_unsafe

_printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _printable,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_printable, inner, max_size=4),
    max_leaves=20,
)


def code(data: bytes | str, max_octets: int = 1000) -> str:
    with pytest.raises(InvalidInputError) as caught:
        decode(data, max_octets=max_octets)
    return caught.value.code


def test_members_are_sorted_and_nothing_is_added() -> None:
    assert encode({"b": [1, True, None], "a": 'q"\\\n', "B": {}}) == b'{"B":{},"a":"q\\"\\\\\\n","b":[1,true,null]}'


@given(_values)
def test_what_is_portable_comes_back_and_has_one_form(value: Json) -> None:
    data = encode(value)

    assert decode(data, max_octets=len(data)) == value
    assert encode(decode(json.dumps(value, indent=3), max_octets=10_000)) == data
    assert find_unsafe(value) is None


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', "1.0", "1e3", "NaN", "-Infinity", "9007199254740992", "1" * 5000, "[", "", b"\xff", "[" * 5000],
)
def test_documents_that_readers_take_differently_are_refused(text: bytes | str) -> None:
    assert code(text, 10_000) == "json-malformed"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_documents_are_utf_8_without_a_mark(encoding: str) -> None:
    assert decode(b'{"a":1}', max_octets=100) == {"a": 1}
    assert code('{"a":1}'.encode(encoding)) == "json-malformed"


@pytest.mark.parametrize("half", ['"\\ud800"', '{"\\uDFFF":1}', '"\ud800"', b'"\xed\xa0\x80"'])
def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not(half: bytes | str) -> None:
    assert decode('"\\ud83d\\ude00"', max_octets=100) == "\N{GRINNING FACE}"
    assert code(half) == "json-malformed"


def test_length_is_counted_in_bytes() -> None:
    assert decode('"é"', max_octets=4) == "é"
    assert code('"é"', 3) == "json-too-long"
    assert code(b'"abc"', 4) == "json-too-long"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"x-changelog": {"message": "Schlüssel"}}, "x-changelog.message has characters outside printable ASCII"),
        ({"a": ["ok", "\t"]}, "a[1] has characters outside printable ASCII"),
        ({"a": "x\n"}, "a has characters outside printable ASCII"),
        ({"é": 1}, "a name in the document has characters outside printable ASCII"),
        ({"a": {"\x7f": 1}}, "a name in a has characters outside printable ASCII"),
        (
            {"keys": {"k": {"keyval": {"public": "a\r\n"}}}},
            "keys.k.keyval.public has characters outside printable ASCII",
        ),
        (
            {"targets": {"t": {"custom": {"name": "a&b"}}}},
            "targets.t.custom.name has one of & < >, which not every reader writes alike inside `custom`",
        ),
        ({"a": 2**53}, "a is not an integer that every reader can hold"),
        ({"a": 1.5}, "a is not an integer that every reader can hold"),
    ],
)
def test_what_is_not_portable_is_named(value: Json, where: str) -> None:
    assert find_unsafe(value) == where


def test_what_looks_like_it_is_portable() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"
    assert find_unsafe({"keys": {"k": {"keyval": {"public": pem}}}, "message": "R&D <x>", "n": 2**53 - 1}) is None


def test_nesting_has_an_end() -> None:
    deep: Json = 1
    for _ in range(40):
        deep = [deep]
    assert "nested deeper" in str(find_unsafe(deep))


@pytest.mark.parametrize("leaf", ["text", 1, None])
def test_nesting_ends_where_readers_stop_whatever_is_inside(leaf: Json) -> None:
    for depth, is_safe in ((32, True), (33, False)):
        nested: Json = leaf
        for _ in range(depth):
            nested = [nested]
        assert (find_unsafe(nested) is None) is is_safe
