"""The DER shapes we write and read ourselves."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.pki import der


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        ((1 << 159) - 1, "0214" + "7f" + "ff" * 19),
        ((1 << 160) - 1, "0215" + "00" + "ff" * 20),
    ],
)
def test_integer_has_a_leading_zero_only_where_the_sign_needs_it(value: int, encoded: str) -> None:
    assert der.integer(value).hex() == encoded


@pytest.mark.parametrize(("size", "header"), [(127, "047f"), (128, "048180"), (256, "04820100"), (65536, "0483010000")])
def test_length_takes_the_shortest_form(size: int, header: str) -> None:
    assert der.encode(der.OCTET_STRING, bytes(size))[: len(header) // 2].hex() == header


def test_time_is_utc_time_until_2049_and_generalized_time_after() -> None:
    assert der.time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"


@given(st.lists(st.tuples(st.sampled_from([0x02, 0x04, 0x30, 0xA0]), st.binary(max_size=300)), max_size=5))
def test_what_was_written_is_read_again(values: list[tuple[int, bytes]]) -> None:
    encoded = [der.encode(tag, content) for tag, content in values]

    assert [(element.tag, element.content) for element in der.read(b"".join(encoded))] == values
    assert [element.raw for element in der.read(b"".join(encoded))] == encoded


@pytest.mark.parametrize(
    "hex_text",
    [
        "02",  # no length
        "0201",  # no content
        "048100",  # long form of a short length
        "04817f00",
        "0482008000",  # leading zero in the length
        "0480",  # indefinite length: BER
        "0485000000000100",  # longer than anything here
        "04ff",
        "1f0100",  # high tag number
    ],
)
def test_what_der_does_not_allow_is_refused(hex_text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        list(der.read(bytes.fromhex(hex_text)))

    assert refused.value.code == "der-malformed"


def test_one_value_of_a_tag_is_demanded() -> None:
    assert der.read_one(der.sequence(der.integer(1)), der.SEQUENCE).content == der.integer(1)


@pytest.mark.parametrize("data", [b"", der.integer(1), der.sequence() + der.sequence()])
def test_another_tag_or_number_of_values_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        der.read_one(data, der.SEQUENCE)

    assert refused.value.code == "der-malformed"


@given(st.binary(max_size=200))
@example(b"\x30\x84\xff\xff\xff\xff")
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    with suppress(InvalidInputError):
        assert b"".join(element.raw for element in der.read(data)) == data
