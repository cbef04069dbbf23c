"""Serial numbers."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ownroot.errors import InvalidInputError
from ownroot.pki.serials import ISSUED_SERIAL_LIMIT, new_serial, parse_serial, serial_text


@given(st.binary(min_size=20, max_size=20))
def test_new_serial_is_positive_and_fits_20_octets_whatever_is_drawn(drawn: bytes) -> None:
    serial = new_serial(lambda size: drawn[:size])

    assert 0 < serial < ISSUED_SERIAL_LIMIT
    assert len(serial.to_bytes(serial.bit_length() // 8 + 1, "big")) == 20


def test_new_serials_carry_the_randomness_they_are_given() -> None:
    counter = count()
    drawn = {new_serial(lambda size: next(counter).to_bytes(size, "big")) for _ in range(1000)}

    assert len(drawn) == 1000


def test_new_serials_differ() -> None:
    assert new_serial() != new_serial()


@given(st.integers(min_value=0, max_value=(1 << 168) - 1))
def test_serial_survives_its_text(serial: int) -> None:
    assert parse_serial(serial_text(serial)) == serial


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1 ", "0x1f", "1_000", "٣", "1.0", "01", "9" * 73, "1\n"])
def test_text_that_is_no_decimal_serial_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_serial(text)

    assert refused.value.code == "serial-malformed"
