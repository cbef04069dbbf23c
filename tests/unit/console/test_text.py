"""Text from elsewhere cannot steer a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from ownroot.console.text import counted, one_line, printable


@given(st.text())
def test_nothing_but_line_breaks_and_tabs_is_left_of_control_characters(text: str) -> None:
    assert all(char.isprintable() or char in "\n\t" for char in printable(text))


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_printable_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


def test_escape_is_shown() -> None:
    assert printable("a\x1b[2Jb\u202ec") == "a\\x1b[2Jb\\u202ec"


@given(st.text())
def test_one_line_stays_one_line(text: str) -> None:
    assert one_line(text).isprintable()


def test_line_break_is_shown_by_its_escape_where_one_line_is_meant() -> None:
    assert one_line("a\nName: b\t") == "a\\nName: b\\t"


def test_a_noun_is_in_the_singular_for_one_alone() -> None:
    assert [counted(number, "device") for number in (0, 1, 2)] == ["0 devices", "1 device", "2 devices"]
